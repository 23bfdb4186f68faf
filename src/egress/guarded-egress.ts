/**
 * Guards every connection that goes where a user pointed: webhooks, and the files of images. Both roles go out by it.
 *
 * `refusalOf` refuses early what can be judged by its text; it is a courtesy. The judge is the agent of `createAgent`:
 * it checks the addresses in the very lookup whose result the socket connects to, so that a name that changes its
 * address between check and use (DNS rebinding) gains nothing. The agent never follows redirects and knows no proxy.
 * If one address of a name is forbidden, the name is: a mixed answer has no honest reason.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { promisify } from 'node:util';
import { Agent, buildConnector } from 'undici';
import { AddressRanges } from './address-ranges.js';

export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

export class EgressRefusedError extends Error {
  readonly code = 'EGRESS_REFUSED';
  constructor() {
    // The address is not named: the user could map the operator's network by it.
    super('the host is at a private or reserved address, where this cloud does not connect to');
    this.name = 'EgressRefusedError';
  }
}

const resolveBySystem: Resolve = (hostname) => promisify(systemLookup)(hostname, { all: true });

const CONNECT_TIMEOUT_MS = 5_000;
/** How a URL that we accept begins. `new URL` is more lenient: it mends slashes, and drops tabs and line breaks. */
const HTTP_URL = /^https?:\/\/[^/?#]+/i;
const UNSAFE_CHARACTER = /[^\x21-\x7e]|\\/;

const withoutBrackets = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

export class GuardedEgress {
  private readonly ranges: AddressRanges;

  /** @param allowed ranges in CIDR notation that are open although they are not public. */
  constructor(allowed: readonly string[]) {
    this.ranges = new AddressRanges(allowed);
  }

  /** @returns why the URL could never be connected to, and what to do about it. */
  refusalOf(url: string): string | undefined {
    if (UNSAFE_CHARACTER.test(url))
      return 'The URL must have no spaces, backslashes or non-ASCII characters; percent-encode them.';
    if (!HTTP_URL.test(url) || !URL.canParse(url))
      return 'The URL must be absolute and begin with http:// or https://.';
    const { hostname, username, password } = new URL(url);
    if (username !== '' || password !== '' || HTTP_URL.exec(url)![0].includes('@'))
      return 'The URL must not carry a user name or password; put a token in its query instead.';
    const literal = addressOf(hostname);
    if (literal !== undefined && !this.ranges.permits(literal))
      return 'The URL leads to a private or reserved address. Use one that is public, or ask the operator to allow it.';
    return undefined;
  }

  /**
   * For programs that connect by themselves: they must be pinned to what this returns, and not look the name up again.
   * @throws EgressRefusedError, or what the resolver throws.
   */
  async permittedAddress(hostname: string, resolve: Resolve = resolveBySystem): Promise<string> {
    const addresses = isIP(hostname) === 0 ? (await resolve(hostname)).map(({ address }) => address) : [hostname];
    if (!addresses.every((address) => this.ranges.permits(address))) throw new EgressRefusedError();
    const [first] = addresses;
    if (first === undefined) throw Object.assign(new Error('no address'), { code: 'ENOTFOUND' });
    return first;
  }

  /** Connections of this agent reach permitted addresses only. Who creates it closes it. */
  createAgent(options: { connectionsPerOrigin: number }, resolve: Resolve = resolveBySystem): Agent {
    const connectTo = buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup: this.checkedLookup(resolve) });
    return new Agent({
      connections: options.connectionsPerOrigin,
      pipelining: 1,
      connect: (target, callback) => {
        // Sockets do not look up what is an address already.
        const hostname = withoutBrackets(target.hostname);
        if (isIP(hostname) !== 0 && !this.ranges.permits(hostname)) callback(new EgressRefusedError(), null);
        else connectTo(target, callback);
      },
    });
  }

  private checkedLookup(resolve: Resolve): LookupFunction {
    return (hostname, options, callback) => {
      resolve(hostname).then(
        (addresses) => {
          const [first] = addresses;
          if (first === undefined) callback(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), '', 0);
          else if (!addresses.every(({ address }) => this.ranges.permits(address)))
            callback(new EgressRefusedError(), '', 0);
          else if (options.all) callback(null, addresses);
          else callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, '', 0),
      );
    };
  }
}

/** The address that a URL's host names without any resolver, if it does. */
function addressOf(hostname: string): string | undefined {
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return '127.0.0.1';
  const bare = withoutBrackets(hostname);
  return isIP(bare) === 0 ? undefined : bare;
}
