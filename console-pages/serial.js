import { FitAddon } from '../xterm/addon-fit.mjs';
import { Terminal } from '../xterm/xterm.mjs';
import { openStream } from './stream.js';

// A guest that has nothing to say leaves the page empty.
const socket = openStream('Connected to the serial line. Press Enter for a prompt.');
if (socket) {
  socket.binaryType = 'arraybuffer';
  const terminal = new Terminal({ cursorBlink: true, scrollback: 5000, fontSize: 14 });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(document.getElementById('console'));
  fit.fit();
  addEventListener('resize', () => fit.fit());
  terminal.focus();

  const encoder = new TextEncoder();
  const send = (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes);
  terminal.onData((text) => send(encoder.encode(text)));
  // What a program asks the terminal for comes as bytes, each in a character.
  terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  socket.addEventListener('message', ({ data }) => terminal.write(new Uint8Array(data)));
}
