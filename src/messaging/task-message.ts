/**
 * A task as bytes: JSON, one task per message. Owns the check that what came off the wire is a task of a version this
 * process understands, so that no consumer ever sees half a task. It never checks the spec in depth: the conductor
 * wrote it, and a new optional field must pass through an older worker.
 */
import { PROTOCOL_VERSION, type ConvergeTask } from '../protocol/task.js';

/** The message is not a task, or speaks another protocol: delivering it again will not help. */
export class UnreadableTaskError extends Error {
  override readonly name = 'UnreadableTaskError';
}

const ENVELOPE = {
  version: 'number',
  taskId: 'string',
  vmId: 'number',
  vmUuid: 'string',
  incarnationId: 'number',
  generation: 'number',
  spec: 'object',
} as const satisfies Record<keyof ConvergeTask, string>;

export function encodeTask(task: ConvergeTask): Buffer {
  return Buffer.from(JSON.stringify(task));
}

/** @throws UnreadableTaskError */
export function decodeTask(content: Buffer): ConvergeTask {
  const task = decodeTaskOfAnyVersion(content);
  if (task.version !== PROTOCOL_VERSION) {
    throw new UnreadableTaskError(
      `task ${task.taskId} is of protocol version ${task.version}, this process understands ${PROTOCOL_VERSION}`,
    );
  }
  return task;
}

/**
 * For dead letters: a conductor must learn that a task has died even when a newer conductor wrote it.
 * @throws UnreadableTaskError
 */
export function decodeTaskOfAnyVersion(content: Buffer): ConvergeTask {
  const message = parse(content);
  for (const [field, type] of Object.entries(ENVELOPE)) {
    const value = message[field];
    if (typeof value !== type || value === null) {
      throw new UnreadableTaskError(`the message has no ${type} "${field}"`);
    }
  }
  return message as unknown as ConvergeTask;
}

function parse(content: Buffer): Record<string, unknown> {
  let message: unknown;
  try {
    message = JSON.parse(content.toString('utf8'));
  } catch {
    throw new UnreadableTaskError('the message is not JSON');
  }
  if (typeof message !== 'object' || message === null) throw new UnreadableTaskError('the message is not a JSON object');
  return message as Record<string, unknown>;
}
