/**
 * The user's terminal, joined with the serial console of a VM: every key goes to the guest as it is typed, until the
 * sequence that leaves. The terminal is given back as it was, however it ends.
 */
import { finished } from 'node:stream/promises';
import { createWebSocketStream, WebSocket } from 'ws';
import { EscapeSequence } from './escape-sequence.js';

/** @param page the address of the console's page. @returns why it ended. */
export async function attachTerminal(page: string, input: NodeJS.ReadStream, output: NodeJS.WriteStream): Promise<string> {
  const socket = dial(page);
  const guest = createWebSocketStream(socket);
  let ending = 'The console was closed.';
  socket.on('close', (_code, reason) => (ending = reason.toString() || ending));
  const escape = new EscapeSequence();
  const onTyped = (typed: Buffer): void => {
    const { send, leave } = escape.feed(typed);
    if (send.length > 0 && !guest.write(send)) {
      input.pause();
      guest.once('drain', () => input.resume());
    }
    if (!leave) return;
    ending = 'Left the console.';
    socket.close();
  };
  try {
    if (input.isTTY) input.setRawMode(true);
    input.on('data', onTyped);
    guest.pipe(output, { end: false });
    await finished(guest, { writable: false });
  } finally {
    input.off('data', onTyped);
    if (input.isTTY) input.setRawMode(false);
    input.pause();
  }
  return ending;
}

function dial(page: string): WebSocket {
  const url = new URL(page);
  const ticket = new URLSearchParams(url.hash.slice(1)).get('ticket');
  const stream = new URL('stream', url);
  stream.protocol = stream.protocol.replace('http', 'ws');
  stream.hash = '';
  return new WebSocket(stream, ['baton.console', `baton.ticket.${ticket}`], { perMessageDeflate: false });
}
