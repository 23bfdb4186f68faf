/**
 * Groups and their few placeholders: `{{ index }}`, `{{ name }}`, `{{ environment }}`, `{{ count }}`. Nothing is
 * evaluated. What is no placeholder of ours stays as it is in user data, where shells and Jinja have braces of their own.
 */
export interface Placeholders {
  readonly name: string;
  readonly environment: string;
  /** Of the machine in its group, from 1. */
  readonly index: string;
  /** Of the group. */
  readonly count: string;
}

const PLACEHOLDER = /\{\{ *(name|environment|index|count) *\}\}/g;
const ANY_PLACEHOLDER = /\{\{([^}]*)\}\}/g;
const INDEX = /\{\{ *index *\}\}/g;

export const fillIn = (text: string, placeholders: Placeholders): string =>
  text.replace(PLACEHOLDER, (_, name: keyof Placeholders) => placeholders[name]);

/** Its name, where something looks like a placeholder and is none. */
export function unknownPlaceholder(text: string): string | undefined {
  for (const [whole, inside] of text.matchAll(ANY_PLACEHOLDER)) if (whole.replace(PLACEHOLDER, '') !== '') return inside!.trim();
  return undefined;
}

export const hasPlaceholder = (text: string): boolean => text.search(PLACEHOLDER) >= 0;

/**
 * Without a count the name alone. With one, also of 1, a group: its names stay what they are when it grows.
 * @returns undefined for a name whose placeholders cannot be filled in.
 */
export function groupNames(name: string, count: number | undefined): string[] | undefined {
  const rest = name.replace(INDEX, '');
  if (rest.includes('{{') || (count === undefined && rest !== name)) return undefined;
  if (count === undefined) return [name];
  const template = rest === name ? `${name}-{{ index }}` : name;
  return Array.from({ length: count }, (_, at) => template.replace(INDEX, String(at + 1)));
}
