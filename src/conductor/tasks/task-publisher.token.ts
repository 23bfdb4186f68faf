/** The task bus's publishing side, chosen when the conductor is booted: RabbitMQ or embedded. */
export const TASK_PUBLISHER = Symbol('task publisher');
