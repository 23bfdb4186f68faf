/**
 * Every operation of the reference, called on a running cloud and compared with the model that Infrahub's clients were
 * generated from. What Baton does not have yet stands in `reference/missing-operations.json`, which can only shrink.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync, writeSync } from 'node:fs';
import { Lab } from './conformance/lab.js';
import { PREPARATIONS } from './conformance/preparations.js';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { mismatches } from './support/infrahub-model.js';

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly priority: 'core' | 'extended' | 'optional';
  readonly successStatus: number;
  readonly responses: Readonly<Record<string, string | null>>;
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`reference/${name}.json`, import.meta.url), 'utf8'));
const { operations } = read('infrahub-api') as { operations: Operation[] };
const missing = read('missing-operations') as string[];

const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;
/** What a parameter is called does not matter. */
const shapeOf = (method: string, path: string): string => `${method.toUpperCase()} ${path.replace(/\{[^}]*\}/g, '{}')}`;

let cloud: Cloud;
let lab: Lab;
let offered: ReadonlySet<string>;
const results = new Map<string, string>();

beforeAll(async () => {
  cloud = await startCloud({ floatingIps: ['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.4'] });
  lab = new Lab(cloud);
  const { paths } = (await cloud.request('GET', '/openapi.json')).body as { paths: Record<string, object> };
  offered = new Set(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => shapeOf(method, path.replace(/^\/v1/, ''))),
    ),
  );
}, 60_000);

afterAll(async () => {
  const counts = new Map<string, number>();
  for (const result of results.values()) counts.set(result, (counts.get(result) ?? 0) + 1);
  const lines = [...results].map(([name, result]) => `${result.padEnd(9)} ${name}`).sort();
  const summary = [...counts].map(([result, count]) => `${count} ${result}`).join(', ');
  writeSync(1, `${lines.join('\n')}\nInfrahub operations: ${summary}\n`);
  await cloud.stop();
}, 60_000);

const isOffered = ({ method, path }: Operation): boolean => offered.has(shapeOf(method, path));

async function called(operation: Operation): Promise<{ answer: Answer; wrong: string[] }> {
  const prepare = PREPARATIONS[nameOf(operation)];
  if (prepare === undefined) throw new Error(`${nameOf(operation)} has no line in conformance/preparations.ts.`);
  const { path, body, key = cloud.demo.key, nullable } = await prepare(lab);
  const answer = await cloud.request(operation.method, `/v1${path}`, body, { api_key: key });
  const model = operation.responses[operation.successStatus];
  return { answer, wrong: model === undefined || model === null ? [] : listMismatches(model, answer.body, nullable) };
}

/** `List[Model]`: an answer without an envelope. */
function listMismatches(model: string, body: unknown, nullable: readonly string[] | undefined): string[] {
  const item = /^List\[(\w+)\]$/.exec(model)?.[1];
  if (item === undefined) return mismatches(model, body, nullable);
  if (!Array.isArray(body) || body.length === 0) return [`${model} is no array with something in it`];
  return body.flatMap((element) => mismatches(item, element, nullable));
}

/** Left out on purpose (501), or not there yet. */
async function absence(operation: Operation): Promise<string> {
  const body = operation.method === 'GET' || operation.method === 'DELETE' ? undefined : {};
  const { status } = await cloud.request(operation.method, `/v1${operation.path.replace(/\{[^}]*\}/g, '1')}`, body);
  return status === 501 ? '501' : 'missing';
}

describe('an operation of Infrahub', () => {
  it.each(operations.map((operation) => [nameOf(operation), operation] as const))('%s', async (name, operation) => {
    if (!isOffered(operation)) {
      const result = await absence(operation);
      results.set(name, result);
      expect(missing.includes(name)).toBe(result === 'missing');
      return;
    }
    results.set(name, 'mismatch');
    expect(missing).not.toContain(name);
    const { answer, wrong } = await called(operation);
    expect({ status: answer.status, wrong, text: wrong.length > 0 || answer.status >= 300 ? answer.text : '' }).toEqual({
      status: operation.successStatus,
      wrong: [],
      text: '',
    });
    expect(answer.headers['content-type']).toContain('application/json');
    results.set(name, 'ok');
  }, 30_000);
});

describe('the list of missing operations', () => {
  it('names operations of the reference, each once and in order', () => {
    expect(missing).toEqual(operations.map(nameOf).filter((name) => missing.includes(name)).sort());
  });
});

describe('the preparations', () => {
  it('are for operations of the reference', () => {
    expect(Object.keys(PREPARATIONS).filter((name) => !operations.some((operation) => nameOf(operation) === name))).toEqual([]);
  });
});
