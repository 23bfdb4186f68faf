/** The API as the client commands call it: where `BATON_URL` says, with the key in `BATON_API_KEY`. */
import type { Environment } from '../config/load.js';
import { UsageError } from './command-line.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';

/** Of VMs and volumes, what tells them apart. */
interface Named {
  readonly id: number;
  readonly name: string;
  readonly environment: { readonly name: string };
}

/** What the API has refused, in its own words. */
export class ApiRefusal extends Error {
  constructor(
    message: string,
    readonly httpStatus: number,
  ) {
    super(message);
    this.name = 'ApiRefusal';
  }
}

export class ApiClient {
  readonly url: string;
  private readonly key: string;

  /** @throws UsageError without a key. */
  constructor({ BATON_URL, BATON_API_KEY }: Environment) {
    this.url = (BATON_URL || DEFAULT_URL).replace(/\/+$/, '');
    if (!BATON_API_KEY) throw new UsageError('Set BATON_API_KEY to an API key, and BATON_URL to the address of the cloud.');
    this.key = BATON_API_KEY;
  }

  /** @throws ApiRefusal; Error where the API cannot be reached. */
  async get<Answer>(path: string): Promise<Answer> {
    return await this.call<Answer>('GET', path);
  }

  /** @param body as JSON; a stream is sent as the file that it is. @throws ApiRefusal; Error where the API cannot be reached. */
  async call<Answer>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object | ReadableStream, length?: number): Promise<Answer> {
    const content =
      body instanceof ReadableStream
        ? { body, duplex: 'half', type: 'application/octet-stream' }
        : body && { body: JSON.stringify(body), type: 'application/json' };
    const { type, ...rest } = content ?? {};
    const headers = { api_key: this.key, ...(type && { 'content-type': type }), ...(length !== undefined && { 'content-length': String(length) }) };
    const answer = await fetch(`${this.url}/v1${path}`, { method, headers, ...rest } as RequestInit).catch((error: Error) => {
      throw new Error(`${this.url} cannot be reached: ${(error.cause as Error | undefined)?.message ?? error.message}. Is BATON_URL right?`);
    });
    const json = (await answer.json().catch(() => ({ message: 'the answer is not JSON. Is BATON_URL right?' }))) as Answer & { message?: string };
    if (!answer.ok) throw new ApiRefusal(json.message ?? `The API answered ${answer.status}.`, answer.status);
    return json;
  }

  /** @param name of the VM, or `environment/name`. @returns the path of the VM below `/v1`. */
  async vmPath(name: string): Promise<string> {
    const { instances } = await this.get<{ instances: Named[] }>(`/core/virtual-machines?search=${searched(name)}`);
    return `/core/virtual-machines/${theOne('virtual machine', name, instances).id}`;
  }

  /** @param name of the volume, or `environment/name`. */
  async volumeId(name: string): Promise<number> {
    const { volumes } = await this.get<{ volumes: Named[] }>(`/core/volumes?search=${searched(name)}`);
    return theOne('volume', name, volumes).id;
  }
}

/** What the name contains in any case: a slash may follow an environment, or be part of a volume's name. */
const searched = (name: string): string => encodeURIComponent(name.slice(name.indexOf('/') + 1));

function theOne(kind: string, name: string, candidates: readonly Named[]): Named {
  const found = candidates.filter((candidate) => candidate.name === name || `${candidate.environment.name}/${candidate.name}` === name);
  if (found.length === 0) throw new Error(`There is no ${kind} '${name}'.`);
  if (found.length > 1)
    throw new UsageError(`'${name}' is the name of several: say ${found.map((one) => `${one.environment.name}/${one.name}`).join(' or ')}.`);
  return found[0]!;
}
