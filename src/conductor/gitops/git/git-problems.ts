/** What Git's own words mean for the owner of a repository, to whom they are not shown: they may hold paths of ours. */
import { GitError, type GitProblem } from './git-error.js';

const PROBLEMS: readonly (readonly [RegExp, GitProblem, string])[] = [
  [
    /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/,
    'host_key_changed',
    'The ssh host key is not the one this repository was first fetched with. If that is right, set the URL again.',
  ],
  [
    /Authentication failed|could not read (Username|Password)|returned error: 40[13]|Permission denied|invalid format|error in libcrypto/,
    'unauthorized',
    'The repository refused the credentials. Check the token or deploy key, and that it may read this repository.',
  ],
  [
    /returned error: 404|[Rr]epository .*not found|does not appear to be a git repository|access denied or repository not exported/,
    'no_repository',
    'There is no repository at this URL, or it is private and needs credentials.',
  ],
  [
    /returned error: 30\d|redirect/,
    'redirected',
    'The server redirects to another URL. Give the one that it leads to; it usually ends with .git.',
  ],
  [
    /File size limit exceeded|signal 25|[Oo]ut of memory|Cannot allocate|mmap failed|too large|invalid index-pack output/,
    'too_large',
    'The repository is larger than what can be fetched, even without its history; or it is damaged.',
  ],
  [
    /not our ref|unadvertised object|couldn't find remote ref|no such remote ref/,
    'no_ref',
    'The repository does not have this commit any more.',
  ],
  [
    /Could not resolve|Connection (refused|reset|closed|timed out)|Failed to connect|[Tt]imed out|[Nn]o route|unreachable|kex_exchange|Couldn't connect|SSL|certificate|Empty reply|early EOF|hung up/,
    'unreachable',
    'The repository cannot be reached at the moment.',
  ],
];

export function problemOf(stderr: string): GitError {
  const [, problem, message] = PROBLEMS.find(([pattern]) => pattern.test(stderr)) ?? [
    undefined,
    'broken' as const,
    'Git cannot read what this URL answers with.',
  ];
  return new GitError(problem, message);
}
