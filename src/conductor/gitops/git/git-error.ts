/** Why files could not be had from a Git repository, in words that its owner may read: never the output of Git itself. */

export type GitProblem =
  | 'refused'
  | 'unreachable'
  | 'unauthorized'
  | 'no_repository'
  | 'no_ref'
  | 'no_path'
  | 'redirected'
  | 'host_key_changed'
  | 'too_large'
  | 'too_slow'
  | 'broken';

export class GitError extends Error {
  constructor(
    readonly problem: GitProblem,
    message: string,
  ) {
    super(message);
    this.name = 'GitError';
  }
}
