import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { IncarnationId, TaskId } from '../../protocol/ids.js';
import type { ReportBatch } from '../../protocol/report.js';
import { ConductorClient } from './conductor-client.js';
import { Reporter, type ReportDraft } from './reporter.js';

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

describe('the reporter', () => {
  let server: Server;
  let client: ConductorClient;
  let reporter: Reporter;
  let batches: ReportBatch[];
  let authorizations: (string | undefined)[];
  let evictions: Error[];
  let atOnce: { now: number; most: number };
  let respond: (batch: ReportBatch) => Answer | Promise<Answer>;

  const accept = (batch: ReportBatch): Answer => ({ status: 200, body: { verdicts: batch.reports.map(() => 'accepted') } });

  beforeEach(async () => {
    batches = [];
    authorizations = [];
    evictions = [];
    atOnce = { now: 0, most: 0 };
    respond = accept;
    server = createServer((request, response) => {
      atOnce.most = Math.max(atOnce.most, ++atOnce.now);
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      request.on('end', () => {
        const batch = JSON.parse(text) as ReportBatch;
        batches.push(batch);
        authorizations.push(request.headers.authorization);
        void Promise.resolve(respond(batch)).then(({ status, body }) => {
          atOnce.now--;
          if (status === 0) response.destroy();
          else response.writeHead(status).end(JSON.stringify(body ?? { status: false, message: 'no' }));
        });
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = new ConductorClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    client.useBearer('the-node-key');
    reporter = new Reporter({
      send: (batch) => client.report(batch),
      session: 3,
      nodeName: 'node-1',
      logger: pino({ level: 'silent' }),
      onEvicted: (reason) => evictions.push(reason),
    });
  });

  afterEach(async () => {
    reporter.stop(new Error('the test is over'));
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const draft = (incarnation: number): ReportDraft => ({
    incarnationId: incarnation as IncarnationId,
    taskId: `task-${incarnation}` as TaskId,
    generation: 1,
    observed: 'running',
  });

  it('brings a report to the conductor under the node key, in its session, and gives back the verdict', async () => {
    respond = () => ({ status: 200, body: { verdicts: ['stale'] } });
    expect(await reporter.report(draft(1))).toBe('stale');
    expect(batches).toEqual([{ session: 3, reports: [{ ...draft(1), sequence: 3 * 2 ** 32 + 1 }] }]);
    expect(authorizations).toEqual(['Bearer the-node-key']);
  });

  it('sends together what comes together, at most 200, one request at a time, in order', async () => {
    await Promise.all(Array.from({ length: 450 }, (_, i) => reporter.report(draft(i))));
    expect(batches.map(({ reports }) => reports.length)).toEqual([200, 200, 50]);
    const sequences = batches.flatMap(({ reports }) => reports.map(({ sequence }) => sequence));
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(atOnce.most).toBe(1);
  });

  it('gives each report its own verdict', async () => {
    respond = ({ reports }) => ({
      status: 200,
      body: { verdicts: reports.map(({ incarnationId }) => (incarnationId % 2 ? 'ended' : 'accepted')) },
    });
    expect(await Promise.all([1, 2, 3].map((i) => reporter.report(draft(i))))).toEqual(['ended', 'accepted', 'ended']);
  });

  it('keeps two reports of one incarnation out of one batch', async () => {
    await Promise.all([reporter.report(draft(1)), reporter.report(draft(1)), reporter.report(draft(2))]);
    expect(batches.map(({ reports }) => reports.map(({ incarnationId }) => incarnationId))).toEqual([[1, 2], [1]]);
  });

  it('tries again, with the same sequence, until the conductor can answer', async () => {
    const failures = [503, 0, 502, 404];
    respond = (batch) => (failures.length > 0 ? { status: failures.shift()! } : accept(batch));
    expect(await reporter.report(draft(1))).toBe('accepted');
    expect(batches).toHaveLength(5);
    expect(new Set(batches.map(({ reports }) => reports[0]!.sequence)).size).toBe(1);
  });

  it('hands back a report that the conductor refuses, and goes on with the next', async () => {
    respond = (batch) => (batch.reports[0]!.incarnationId === 1 ? { status: 400 } : accept(batch));
    await expect(reporter.report(draft(1))).rejects.toThrow('the conductor answered 400 to compute/reports: no');
    expect(await reporter.report(draft(2))).toBe('accepted');
  });

  it('stops for good when another worker has registered under the name', async () => {
    respond = () => ({ status: 409 });
    await expect(reporter.report(draft(1))).rejects.toThrow("Another worker has registered as 'node-1'");
    await expect(reporter.report(draft(2))).rejects.toThrow("Another worker has registered as 'node-1'");
    expect(evictions).toHaveLength(1);
    expect(batches).toHaveLength(1);
  });

  it('lets go of what it could not report when it is stopped', async () => {
    const asked = new Promise<void>((wake) => {
      respond = () => {
        wake();
        return { status: 503 };
      };
    });
    const report = reporter.report(draft(1));
    await asked;
    reporter.stop(new Error('the worker has stopped'));
    await expect(report).rejects.toThrow('the worker has stopped');
    await reporter.flushed();
  });

  it('is flushed when the last report has its verdict', async () => {
    const verdicts: string[] = [];
    for (let i = 0; i < 3; i++) void reporter.report(draft(i)).then((verdict) => verdicts.push(verdict));
    await reporter.flushed();
    expect(verdicts).toEqual(['accepted', 'accepted', 'accepted']);
  });
});
