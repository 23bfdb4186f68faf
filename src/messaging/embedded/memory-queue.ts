/**
 * A queue in memory with competing consumers, each holding at most its prefetch of unsettled items. Delivery always
 * happens in a later turn of the event loop, never inside the call that pushed: a handler that publishes cannot
 * recurse, and a publisher never runs a worker's code.
 */
export interface MemoryConsumer {
  /** Takes nothing new; what is in hand may still be settled. */
  cancel(): void;
  /** Cancels, and gives what is in hand back to the head of the queue; settling it later has no effect. */
  giveBack(): void;
}

/** Returns whether the item was still in hand; only then may the caller act on it. */
export type Settle = () => boolean;

interface Consumer<Item> {
  readonly prefetch: number;
  readonly onItem: (item: Item, settle: Settle) => void;
  readonly inHand: Set<Item>;
}

export class MemoryQueue<Item extends object> {
  private readonly ready: Item[] = [];
  /** In turn: the one that was served last stands at the end. */
  private readonly consumers: Consumer<Item>[] = [];
  private scheduled = false;

  push(...items: Item[]): void {
    this.ready.push(...items);
    this.schedule();
  }

  /** @param onReturn tells what becomes of an item given back; undefined lets it go elsewhere. */
  attach(
    prefetch: number,
    onItem: (item: Item, settle: Settle) => void,
    onReturn: (item: Item) => Item | undefined,
  ): MemoryConsumer {
    const consumer: Consumer<Item> = { prefetch, onItem, inHand: new Set() };
    this.consumers.push(consumer);
    this.schedule();
    const cancel = (): void => {
      const position = this.consumers.indexOf(consumer);
      if (position >= 0) this.consumers.splice(position, 1);
    };
    const giveBack = (): void => {
      cancel();
      const returned = [...consumer.inHand].map(onReturn).filter((item) => item !== undefined);
      consumer.inHand.clear();
      this.ready.unshift(...returned);
      this.schedule();
    };
    return { cancel, giveBack };
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  private deliver(): void {
    while (this.ready.length > 0) {
      const position = this.consumers.findIndex((candidate) => candidate.inHand.size < candidate.prefetch);
      if (position < 0) return;
      const [consumer] = this.consumers.splice(position, 1) as [Consumer<Item>];
      this.consumers.push(consumer);
      const item = this.ready.shift() as Item;
      consumer.inHand.add(item);
      consumer.onItem(item, () => {
        this.schedule();
        return consumer.inHand.delete(item);
      });
    }
  }
}
