/**
 * Places where a process can be made to die as if by `kill -9`, to prove that nothing is lost or done twice when it
 * does. `BATON_CRASH_AT` arms one of them; unarmed, passing one costs a comparison.
 */
export const CRASH_POINTS = [
  // Conductor.
  'create:committed',
  'change:committed',
  'relay:leased',
  'relay:published',
  'reports:written',
  'reports:committed',
  'webhook:leased',
  'webhook:sent',
  // Conductor, between a claim of Git, what is made under it, and its being bound.
  'gitops:claimed',
  'gitops:made',
  // Worker: before a step of `converge`, and between the last report and the acknowledgement.
  'converge:look',
  'converge:prepare',
  'converge:start',
  'converge:reportRunning',
  'converge:stop',
  'converge:reportStopped',
  'converge:remove',
  'converge:reportAbsent',
  'task:reported',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

let armed: string | undefined;

export function armCrashPoint(point: CrashPoint | undefined): void {
  armed = point;
}

/** `point` may be one that nobody can arm. */
export function crashPoint(point: CrashPoint | `converge:${string}`): void {
  if (point === armed) process.kill(process.pid, 'SIGKILL');
}
