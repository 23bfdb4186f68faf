/** One log for everything in the process: pino's JSON lines, with Nest's own messages among them. */
import type { LoggerService } from '@nestjs/common';
import { pino, type Logger, type StreamEntry } from 'pino';
import type { Config } from '../config/settings.js';

const STANDARD_ERROR = 2;

export const standardErrorLogger = (level: Config['logLevel']): Logger =>
  pino({ level, base: undefined }, pino.destination(STANDARD_ERROR));

/** For a process whose terminal is for people: everything to the file, and only what is wrong to standard error. */
export function fileLogger(level: Config['logLevel'], path: string): Logger {
  const streams: StreamEntry[] = [
    { level, stream: pino.destination({ dest: path, sync: true }) },
    { level: 'error', stream: pino.destination(STANDARD_ERROR) },
  ];
  return pino({ level, base: undefined }, pino.multistream(streams));
}

type PinoLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Nest passes the context (usually a class name) last, and with errors the stack before it. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log = this.at('info');
  fatal = this.at('fatal');
  error = this.at('error');
  warn = this.at('warn');
  debug = this.at('debug');
  verbose = this.at('trace');

  private at(level: PinoLevel): (message: unknown, ...rest: unknown[]) => void {
    return (message, ...rest) => {
      const context = rest.at(-1);
      const details = rest.slice(0, -1).filter((detail) => detail !== undefined);
      const fields = { context, ...(details.length > 0 && { details }) };
      if (message instanceof Error) this.logger[level]({ ...fields, err: message }, message.message);
      else if (typeof message === 'string') this.logger[level](fields, message);
      else this.logger[level]({ ...fields, message }, 'Nest');
    };
  }
}
