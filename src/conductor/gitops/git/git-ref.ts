/** Which names of branches, tags and commits are accepted: those that `git check-ref-format` accepts, in ASCII. */
import { badRequest } from '../../http/api-error.js';

const LONGEST_REF = 200;
const COMPONENT = /^(?![.-])[A-Za-z0-9._@#=][A-Za-z0-9._+@#=-]*(?<!\.)(?<!\.lock)$/;
const COMMIT = /^[0-9a-f]{40}$/;

export const isCommit = (ref: string): boolean => COMMIT.test(ref);

/** @throws ApiError 400 */
export function checkRef(ref: string): void {
  const sound = ref.split('/').every((component) => COMPONENT.test(component));
  if (!sound || ref.length > LONGEST_REF || ref.includes('..') || ref === '@')
    throw badRequest('Name a branch, a tag, a full ref such as refs/pull/1/head, or a commit by its 40 digits.');
}

/** What to ask a remote for, best first. A peeled tag comes before the tag's own object. */
export function candidates(ref: string): readonly string[] {
  if (ref.startsWith('refs/')) return [`${ref}^{}`, ref];
  return [`refs/heads/${ref}`, `refs/tags/${ref}^{}`, `refs/tags/${ref}`];
}
