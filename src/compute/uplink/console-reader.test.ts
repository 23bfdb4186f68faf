import { describe, expect, it, jest } from '@jest/globals';
import { pino } from 'pino';
import { MOST_CONSOLE_BYTES, type ConsoleLogQuery } from '../../protocol/console-log.js';
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import { ConsoleReader, type ConsoleReaderOptions } from './console-reader.js';

const query = (request: number): ConsoleLogQuery => ({
  request,
  vmUuid: '0b8ae0b4-5e5c-4d5c-9d3e-000000000001' as VmUuid,
  incarnationId: 7 as IncarnationId,
});

function reader(change: Partial<ConsoleReaderOptions> = {}) {
  const read = jest.fn<ConsoleReaderOptions['read']>(async () => Buffer.from('booted\n'));
  const send = jest.fn<ConsoleReaderOptions['send']>(async () => undefined);
  return { read, send, reader: new ConsoleReader({ read, send, logger: pino({ level: 'silent' }), ...change }) };
}

describe('the console reader', () => {
  it('sends the text of each console that it is asked for', async () => {
    const { reader: consoles, read, send } = reader();
    consoles.asked([query(1), query(2)]);
    await consoles.idle();
    const { vmUuid, incarnationId } = query(1);
    expect(read).toHaveBeenCalledWith({ vmUuid, incarnationId }, MOST_CONSOLE_BYTES);
    expect(send.mock.calls).toEqual([[1, 'booted\n'], [2, 'booted\n']]);
  });

  it('does not read again what it is reading, and reads again what it could not send', async () => {
    const { reader: consoles, read, send } = reader();
    send.mockRejectedValueOnce(new Error('no conductor'));
    consoles.asked([query(1)]);
    consoles.asked([query(1)]);
    await consoles.idle();
    expect(read).toHaveBeenCalledTimes(1);
    consoles.asked([query(1)]);
    await consoles.idle();
    expect(send).toHaveBeenCalledTimes(2);
  });

  it('outlives a console that cannot be read', async () => {
    const { reader: consoles, send } = reader({ read: () => Promise.reject(new Error('no file')) });
    consoles.asked([query(1)]);
    await consoles.idle();
    expect(send).not.toHaveBeenCalled();
  });

  it('leaves out the half of a character at the cut, and keeps a place for what is no text', async () => {
    const cut = Buffer.concat([Buffer.from('é').subarray(1), Buffer.alloc(MOST_CONSOLE_BYTES - 2, 'a'), Buffer.from([0xff])]);
    const { reader: consoles, send } = reader({ read: async () => cut });
    consoles.asked([query(1)]);
    await consoles.idle();
    expect(send.mock.calls[0]![1]).toBe(`${'a'.repeat(MOST_CONSOLE_BYTES - 2)}\ufffd`);
  });
});
