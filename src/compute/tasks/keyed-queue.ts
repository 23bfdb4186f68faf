/** Work of one key strictly in order, of different keys side by side. A failure does not hold up what comes after. */
export class KeyedQueue<Key> {
  private readonly tails = new Map<Key, Promise<void>>();

  run<Result>(key: Key, work: () => Promise<Result>): Promise<Result> {
    const result = (this.tails.get(key) ?? Promise.resolve()).then(work);
    const tail: Promise<void> = result.then(
      () => this.leave(key, tail),
      () => this.leave(key, tail),
    );
    this.tails.set(key, tail);
    return result;
  }

  /** Resolves when nothing is left. */
  async drained(): Promise<void> {
    while (this.tails.size > 0) await Promise.all(this.tails.values());
  }

  private leave(key: Key, tail: Promise<void>): void {
    if (this.tails.get(key) === tail) this.tails.delete(key);
  }
}
