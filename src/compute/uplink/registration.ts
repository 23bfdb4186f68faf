/**
 * How the node joins: with its own key where it has one, else with a join token, in exchange for a key. Each
 * registration starts a new session, which ends that of any other process under the same name.
 *
 * A conductor that cannot be reached is tried for ever; one that refuses is believed, with a word on what to do. A
 * refused key gives way to a join token if there is one: the operator who set it wants the node in the fleet.
 */
import type { Logger } from 'pino';
import type { RegisterAnswer, RegisterRequest } from '../../protocol/node.js';
import { persistently } from '../retry.js';
import { ConductorRefusal, ConductorUnreachable, type ConductorClient } from './conductor-client.js';
import type { NodeKeyFile } from './node-key.js';

export interface RegistrationOptions {
  readonly client: ConductorClient;
  readonly keyFile: NodeKeyFile;
  readonly joinToken?: string | undefined;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Called directly before each request. */
  readonly onAttempt?: () => void;
}

export async function register(request: RegisterRequest, options: RegistrationOptions): Promise<RegisterAnswer> {
  const { keyFile, joinToken, logger } = options;
  await keyFile.assertWritable();
  const nodeKey = await keyFile.read();
  if (nodeKey !== undefined) {
    try {
      return await attempt(request, nodeKey, options);
    } catch (error) {
      if (!isUnauthorized(error)) throw explained(error, request);
      if (joinToken === undefined) throw keyRefused(request.name, keyFile.path);
      logger.warn({ keyFile: keyFile.path }, 'the conductor refuses the node key, joining anew with the join token');
    }
  }
  if (joinToken === undefined) throw joinTokenMissing(request.name);
  return await join(request, joinToken, options);
}

async function join(request: RegisterRequest, joinToken: string, options: RegistrationOptions): Promise<RegisterAnswer> {
  let answer: RegisterAnswer;
  try {
    answer = await attempt(request, joinToken, options);
  } catch (error) {
    throw isUnauthorized(error) ? joinTokenRefused(request.name) : explained(error, request);
  }
  if (answer.nodeKey === undefined) throw new Error('The conductor accepted the join token but gave no node key.');
  await options.keyFile.write(answer.nodeKey);
  options.client.useBearer(answer.nodeKey);
  return answer;
}

async function attempt(
  request: RegisterRequest,
  bearer: string,
  { client, logger, signal, onAttempt }: RegistrationOptions,
): Promise<RegisterAnswer> {
  client.useBearer(bearer);
  const ask = (): Promise<RegisterAnswer> => {
    onAttempt?.();
    return client.register(request);
  };
  return await persistently(ask, {
    what: 'registering with the conductor',
    isPassing: (error) => error instanceof ConductorUnreachable,
    signal,
    logger,
  });
}

const isUnauthorized = (error: unknown): boolean => error instanceof ConductorRefusal && error.status === 401;

function explained(error: unknown, request: RegisterRequest): unknown {
  if (!(error instanceof ConductorRefusal)) return error;
  return new Error(`Node '${request.name}' was not let in: ${error.message}`, { cause: error });
}

const NEW_TOKEN = 'Make a token with `baton admin join-token` on the conductor and set it as BATON_JOIN_TOKEN.';

const joinTokenMissing = (name: string): Error => new Error(`Node '${name}' has no key yet and no join token. ${NEW_TOKEN}`);

const joinTokenRefused = (name: string): Error =>
  new Error(`The conductor refuses the join token of node '${name}': it is wrong, used up or expired. ${NEW_TOKEN}`);

const keyRefused = (name: string, path: string): Error =>
  new Error(`The conductor refuses the key of node '${name}' in ${path}: the node was removed. To let it in again: ${NEW_TOKEN}`);
