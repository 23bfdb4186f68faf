/** The text of a serial console, as it may be stored and shown. Escape sequences stay: they are the guest's own. */

/** What no PostgreSQL text can hold: NUL, and half of a surrogate pair. */
const UNSTORABLE = /[\0\p{Cs}]/gu;

export const storableText = (text: string): string => text.replace(UNSTORABLE, '\ufffd');

/** The last lines; one that the guest has not finished counts as a line. */
export function lastLines(text: string, lines: number): string {
  let start = text.endsWith('\n') ? text.length - 1 : text.length;
  for (let line = 0; line < lines; line++) {
    start = start === 0 ? -1 : text.lastIndexOf('\n', start - 1);
    if (start === -1) return text;
  }
  return text.slice(start + 1);
}
