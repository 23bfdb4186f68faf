/**
 * When a webhook that was not taken is tried again: the steps that the Standard Webhooks specification proposes, ended
 * after a day. Jitter keeps the webhooks that one outage made fail from coming back all at the same moment.
 */
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The pause after the first attempt, after the second, … */
export const RETRY_PAUSES_MS: readonly number[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  6 * HOUR,
  8 * HOUR,
];

const JITTER = 0.1;

/** @returns undefined when the webhook has had its last attempt. */
export function retryPause(attempts: number, random: () => number = Math.random): number | undefined {
  const pause = RETRY_PAUSES_MS[attempts - 1];
  return pause === undefined ? undefined : Math.round(pause * (1 - JITTER + 2 * JITTER * random()));
}
