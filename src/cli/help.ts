/** What `--help` shows, made from the same table that is parsed. */
import {
  COMMANDS,
  GENERAL_FLAGS,
  commandDefinition,
  settingFlags,
  type CommandName,
  type OwnFlag,
} from './command-line.js';

export function generalHelp(): string {
  const commands = (Object.keys(COMMANDS) as CommandName[]).map((name): [string, string] => {
    const { words, operand = '', summary } = commandDefinition(name);
    return [`baton ${words} ${operand}`.trimEnd(), summary];
  });
  return ['Usage:', ...columns(commands), '', 'Every command understands:', ...flagLines(GENERAL_FLAGS), ''].join('\n');
}

export function commandHelp(name: CommandName): string {
  const { words, operand, summary, flags } = commandDefinition(name);
  const all = { ...settingFlags(name), ...flags };
  return [`Usage: baton ${[words, operand, '[flags]'].filter(Boolean).join(' ')}`, '', summary, '', 'Flags:', ...flagLines(all), ''].join('\n');
}

const flagLines = (flags: Readonly<Record<string, OwnFlag>>): string[] =>
  columns(Object.entries(flags).map(([name, { short, value, help }]) => [`${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`, help]));

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
