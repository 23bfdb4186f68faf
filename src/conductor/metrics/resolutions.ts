/**
 * How finely metrics are kept, and for how long: some 2,600 rows for a VM in 30 days, so that a thousand VMs fit into a
 * table that any PostgreSQL reads quickly. Each duration that can be asked for is answered from one resolution.
 */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface Resolution {
  /** Seconds. */
  readonly granularity: number;
  readonly keptSeconds: number;
}

/** From fine to coarse; each is summed up from the one before. */
export const RESOLUTIONS: readonly [Resolution, Resolution, Resolution] = [
  { granularity: MINUTE, keptSeconds: 12 * HOUR },
  { granularity: 5 * MINUTE, keptSeconds: 4 * DAY },
  { granularity: HOUR, keptSeconds: 31 * DAY },
];

export const DURATIONS = {
  '1h': HOUR,
  '2h': 2 * HOUR,
  '4h': 4 * HOUR,
  '6h': 6 * HOUR,
  '12h': 12 * HOUR,
  '1d': DAY,
  '3d': 3 * DAY,
  '7d': 7 * DAY,
  '15d': 15 * DAY,
  '30d': 30 * DAY,
} as const;

export type Duration = keyof typeof DURATIONS;

/** More points than this say no more to anybody. */
const MOST_POINTS = 1000;

/** The finest that reaches back far enough and has not too many points. */
export function resolutionFor(duration: Duration): number {
  const seconds = DURATIONS[duration];
  const fitting = RESOLUTIONS.find(({ granularity, keptSeconds }) => keptSeconds >= seconds && seconds / granularity <= MOST_POINTS);
  return (fitting ?? RESOLUTIONS[2]).granularity;
}
