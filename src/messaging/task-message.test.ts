import { describe, expect, it } from '@jest/globals';
import { PROTOCOL_VERSION } from '../protocol/task.js';
import { exampleTask } from './task-bus.contract.js';
import { decodeTask, decodeTaskOfAnyVersion, encodeTask, UnreadableTaskError } from './task-message.js';

const asMessage = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('a task on the wire', () => {
  it('arrives as it was sent', () => {
    const task = exampleTask();
    expect(decodeTask(encodeTask(task))).toEqual(task);
  });

  it('keeps optional fields this version does not know', () => {
    const task = { ...exampleTask(), colour: 'blue' };
    expect(decodeTask(asMessage(task))).toEqual(task);
  });

  it.each([['{"version":'], ['null'], ['"task"'], ['[]'], ['']])('is refused when the message is %j', (content) => {
    expect(() => decodeTask(Buffer.from(content))).toThrow(UnreadableTaskError);
  });

  it('is refused with the name of the field that is missing', () => {
    expect(() => decodeTask(asMessage({ ...exampleTask(), spec: undefined }))).toThrow('"spec"');
    expect(() => decodeTask(asMessage({ ...exampleTask(), spec: null }))).toThrow('"spec"');
  });

  it.each([PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1])('is refused by a worker of another protocol than its %d, but can be read as a dead letter', (version) => {
    const task = { ...exampleTask(), version };
    expect(() => decodeTask(asMessage(task))).toThrow(`protocol version ${version}`);
    expect(decodeTaskOfAnyVersion(asMessage(task))).toEqual(task);
  });
});
