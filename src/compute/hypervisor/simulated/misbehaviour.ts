/** How a simulated hypervisor can go wrong, chosen for each of its calls, so that every unhappy path can be walked. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FailureCause } from '../../../protocol/report.js';
import { HypervisorError } from '../hypervisor.js';

export type SimulatedCall =
  | 'state'
  | 'define'
  | 'start'
  | 'resume'
  | 'stop'
  | 'hibernate'
  | 'changeNetwork'
  | 'reset'
  | 'remove'
  | 'setVolumes'
  | 'prepareVolume'
  | 'removeVolume'
  | 'takeSnapshot'
  | 'removeSnapshot'
  | 'inventory'
  | 'consoleLog'
  | 'openConsole'
  | 'counters'
  | 'fetchImage';

export type Misbehaviour =
  /** Does not do its work, for good. */
  | { readonly kind: 'failing'; readonly cause?: FailureCause }
  /** Refuses so many times and then works. */
  | { readonly kind: 'rejecting'; times: number }
  | { readonly kind: 'slow'; readonly ms: number }
  /** Never answers. */
  | { readonly kind: 'hanging' }
  /** Throws what the port does not promise. */
  | { readonly kind: 'broken' }
  /** Says that it is done and has done nothing. */
  | { readonly kind: 'lying' };

export type Misbehaviours = Partial<Record<SimulatedCall, Misbehaviour>>;

/** @returns whether the call shall go on to do its work. */
export async function misbehave(call: SimulatedCall, misbehaviour: Misbehaviour | undefined): Promise<boolean> {
  switch (misbehaviour?.kind) {
    case undefined:
      return true;
    case 'failing':
      throw new HypervisorError(`The simulated hypervisor was told to fail to ${call}.`, false, { failure: misbehaviour.cause });
    case 'rejecting':
      if (misbehaviour.times-- > 0) throw new HypervisorError(`The simulated hypervisor refuses to ${call} just now.`, true);
      return true;
    case 'slow':
      await sleep(misbehaviour.ms);
      return true;
    case 'hanging':
      return await new Promise<never>(() => undefined);
    case 'broken':
      throw new TypeError(`the simulated hypervisor is broken at ${call}`);
    case 'lying':
      return false;
  }
}
