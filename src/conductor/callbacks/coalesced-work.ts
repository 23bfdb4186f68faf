/**
 * Work that never runs twice at once; however often it is asked for while it runs, it runs once more afterwards. No
 * request is lost in the moment between the last look and the end.
 */
export class CoalescedWork {
  private running: Promise<void> | undefined;
  private again = false;

  /** @param work handles its own errors. */
  constructor(private readonly work: () => Promise<void>) {}

  request(): void {
    this.again = true;
    this.running ??= this.run();
  }

  async settled(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    while (this.again) {
      this.again = false;
      await this.work();
    }
    this.running = undefined;
  }
}
