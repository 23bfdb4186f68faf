/** The websocket of a console, by the ticket behind the number sign; and what becomes of it, told in the page's header. */
const status = document.getElementById('status');

const say = (text) => (status.textContent = text);

/** Takes ticket and name out of the address, so that the ticket is in no history and in no bookmark. */
function takeAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
  return { ticket: given.get('ticket'), name: given.get('name') };
}

/**
 * @param connected what to say when it is, after the name of the VM.
 * @returns undefined when there is no ticket; the page has told so.
 */
export function openStream(connected) {
  const { ticket, name } = takeAddress();
  if (!ticket) {
    say('This address has no ticket, or it was used already. Request another console.');
    return undefined;
  }
  const withName = (text) => (name ? `${name} · ${text}` : text);
  if (name) document.title = `${name} · ${document.title}`;
  const url = new URL('stream', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url, ['baton.console', `baton.ticket.${ticket}`]);
  let opened = false;
  socket.addEventListener('open', () => {
    opened = true;
    say(withName(connected));
  });
  socket.addEventListener('close', ({ reason }) =>
    say(withName(reason || (opened ? 'The connection was lost. Request another console.' : 'The ticket is not valid any more. Request another console.'))),
  );
  return socket;
}
