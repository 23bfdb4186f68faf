import RFB from '../novnc/core/rfb.js';
import { openStream } from './stream.js';

const socket = openStream('Connected to the screen');
if (socket) {
  const rfb = new RFB(document.getElementById('console'), socket, { shared: true });
  rfb.scaleViewport = true;
  rfb.background = 'transparent';
  const button = document.getElementById('ctrl-alt-del');
  button.addEventListener('click', () => {
    rfb.sendCtrlAltDel();
    rfb.focus();
  });
  rfb.addEventListener('connect', () => (button.disabled = false));
  rfb.addEventListener('disconnect', () => (button.disabled = true));
}
