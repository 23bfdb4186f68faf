import RFB from '../novnc/core/rfb.js';
import { openStream, say } from './stream.js';

const socket = openStream();
if (socket) {
  const rfb = new RFB(document.getElementById('console'), socket, { shared: true });
  rfb.scaleViewport = true;
  const button = document.getElementById('ctrl-alt-del');
  button.addEventListener('click', () => {
    rfb.sendCtrlAltDel();
    rfb.focus();
  });
  rfb.addEventListener('connect', () => (button.disabled = false));
  rfb.addEventListener('disconnect', () => (button.disabled = true));
  rfb.addEventListener('desktopname', ({ detail }) => {
    document.title = detail.name;
    say(detail.name);
  });
}
