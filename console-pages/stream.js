/** The websocket of a console, by the ticket behind the number sign; and what becomes of it, told in the page's header. */
const status = document.getElementById('status');

export const say = (text) => (status.textContent = text);

/** Takes the ticket out of the address, so that it is in no history and in no bookmark. */
function takeTicket() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket');
  history.replaceState(null, '', location.pathname);
  return ticket;
}

/** @returns undefined when there is no ticket; the page has told so. */
export function openStream() {
  const ticket = takeTicket();
  if (!ticket) {
    say('This address has no ticket, or it was used already. Request another console.');
    return undefined;
  }
  const url = new URL('stream', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url, ['baton.console', `baton.ticket.${ticket}`]);
  let opened = false;
  socket.addEventListener('open', () => {
    opened = true;
    say('Connected');
  });
  socket.addEventListener('close', ({ reason }) =>
    say(reason || (opened ? 'The connection was lost. Request another console.' : 'The ticket is not valid any more. Request another console.')),
  );
  return socket;
}
