/** `--print-config`: the settings as the command would get them, all of them, whichever role reads them. */
import { withDevelopmentDefaults } from '../all-in-one/settings.js';
import { loadConfig, printConfig, type Environment, type Flags } from '../config/load.js';
import { commandDefinition, type CommandName } from './command-line.js';

/** Stands for the one setting without a default, so that a missing one does not hide all the others. */
const NOT_SET = 'postgres://not-set';

export function configurationOf(command: CommandName, flags: Flags, environment: Environment = process.env): string {
  const allInOne = command === 'all-in-one';
  const given = allInOne ? withDevelopmentDefaults(environment) : environment;
  // `auto` is no value of the setting: it is decided when the cloud starts.
  const usable = allInOne && flags['hypervisor'] === 'auto' ? { ...flags, hypervisor: undefined } : flags;
  return printConfig(loadConfig(commandDefinition(command).roles, usable, { ...given, DATABASE_URL: given['DATABASE_URL'] || NOT_SET }));
}
