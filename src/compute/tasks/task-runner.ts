/**
 * Takes deliveries and power changes, one at a time for each VM, and settles each delivery: acknowledged when the
 * outcome is reported, delivered again when something failed that nobody foresaw, left in hand when the worker goes.
 *
 * A task that a newer one has overtaken (done or waiting here) is acknowledged undone. A power change is told in the
 * VM's turn and as it then is, so that it can neither overtake the report of the start that preceded it nor be told
 * after it was put right. What was switched off by others than its guest is not told here: the heartbeat shows it, and
 * the conductor decides what is to become of it.
 */
import type { Logger } from 'pino';
import type { VmUuid } from '../../protocol/ids.js';
import type { Delivery } from '../../messaging/task-bus.js';
import type { PowerChange } from '../hypervisor/hypervisor.js';
import { converge, type ConvergePorts } from './converge.js';
import { KeyedQueue } from './keyed-queue.js';
import { KnownVms, type KnownVm } from './known-vms.js';
import { crashPoint } from '../../crash-points.js';

export class TaskRunner {
  private readonly vms = new KeyedQueue<VmUuid>();
  private readonly known = new KnownVms();
  private halted = false;
  private forgetting = false;

  constructor(private readonly ports: ConvergePorts) {}

  private get logger(): Logger {
    return this.ports.logger;
  }

  readonly onDelivery = (delivery: Delivery): void => {
    const { task } = delivery;
    const known = this.known.arrived(task);
    void this.vms.run(task.vmUuid, async () => {
      if (this.halted) return this.leave(delivery);
      try {
        await this.carryOut(delivery, known);
        crashPoint('task:reported');
        delivery.ack();
      } catch (error) {
        // Its session is over: another process will get the task.
        if (this.halted) return this.leave(delivery);
        this.logger.error({ err: error, taskId: task.taskId, vmUuid: task.vmUuid }, 'the task failed unexpectedly, delivering it again');
        delivery.retry();
      }
    });
  };

  readonly onPowerChange = (change: PowerChange): void => {
    this.vms.run(change.vmUuid, () => this.tellPowerChange(change)).catch((error: unknown) => {
      if (!this.halted) this.logger.error({ err: error, vmUuid: change.vmUuid }, 'a power change could not be told');
    });
  };

  /** Begins nothing new; what waits for its turn stays unacknowledged. */
  halt(): void {
    this.halted = true;
  }

  /** As `halt`, and takes what is in hand off the queue: the conductor will ask again when this worker registers anew. */
  haltAndForget(): void {
    this.forgetting = true;
    this.halt();
  }

  /** Resolves when nothing is in hand. */
  drained(): Promise<void> {
    return this.vms.drained();
  }

  private leave(delivery: Delivery): void {
    if (this.forgetting) delivery.ack();
  }

  private async carryOut({ task }: Delivery, known: KnownVm): Promise<void> {
    const { vmUuid, incarnationId, generation } = task;
    if (generation < known.newestGeneration) {
      this.logger.debug({ taskId: task.taskId, generation, newest: known.newestGeneration }, 'overtaken by a newer task');
      return;
    }
    await converge(task, known, this.ports);
    known.converged = { incarnationId, generation };
    if (task.spec.power === 'absent') this.known.left(vmUuid);
  }

  private async tellPowerChange({ vmUuid, incarnationId, shutDown }: PowerChange): Promise<void> {
    const converged = this.known.of(vmUuid)?.converged;
    if (this.halted || converged?.incarnationId !== incarnationId) return;
    const observed = await this.ports.hypervisor.state({ vmUuid, incarnationId });
    if (observed === undefined || (observed === 'stopped' && shutDown !== true)) return;
    const verdict = await this.ports.report({ incarnationId, generation: converged.generation, observed });
    if (verdict === 'ended') await this.ports.hypervisor.remove({ vmUuid, incarnationId });
  }
}
