/** Names of VMs: what is accepted, and the memorable ones that are assigned where none is given. */
import { humanId } from 'human-id';

/** `labels` would be taken for the fixed word in `/virtual-machines/{environment}/labels/{label}`. */
export const VM_NAME_PATTERN = /^(?!labels$)[A-Za-z0-9](?:[A-Za-z0-9._-]{0,48}[A-Za-z0-9])?$/;
export const VM_NAME_RULE =
  'must have 1 to 50 letters, digits, dots, dashes or underscores, begin and end with a letter or digit, and not be the word labels';

/** `NAME` for one VM, `NAME-1 … NAME-n` for several. */
export const namesFor = (base: string, count: number): string[] =>
  count === 1 ? [base] : Array.from({ length: count }, (_, index) => `${base}-${index + 1}`);

/** Three words, easy to say; one of fifteen million. */
export const memorableName = (): string => humanId({ separator: '-', capitalize: false });
