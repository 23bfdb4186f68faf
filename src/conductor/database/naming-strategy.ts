/**
 * How tables, columns and constraints are named: snake case, and constraints by what they hold
 * (`uq_environment_organization_id_name`), so that a violation can be told to the user by its name.
 */
import { DefaultNamingStrategy, type NamingStrategyInterface, type Table } from 'typeorm';

const snakeCase = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();

const nameOf = (table: Table | string): string => (typeof table === 'string' ? table : table.name).split('.').pop()!;

/** PostgreSQL cuts identifiers at 63 bytes; we would rather notice. */
function constraint(prefix: string, table: Table | string, columns: string[]): string {
  const name = [prefix, nameOf(table), ...columns].join('_');
  if (name.length > 63) throw new Error(`The constraint name ${name} is longer than PostgreSQL's 63 characters.`);
  return name;
}

export class NamingStrategy extends DefaultNamingStrategy implements NamingStrategyInterface {
  override tableName(className: string, customName?: string): string {
    return customName ?? snakeCase(className);
  }
  override columnName(propertyName: string, customName?: string): string {
    return customName ?? snakeCase(propertyName);
  }
  override primaryKeyName(table: Table | string): string {
    return constraint('pk', table, []);
  }
  override uniqueConstraintName(table: Table | string, columns: string[]): string {
    return constraint('uq', table, columns);
  }
  override foreignKeyName(table: Table | string, columns: string[]): string {
    return constraint('fk', table, columns);
  }
  override indexName(table: Table | string, columns: string[]): string {
    return constraint('idx', table, columns);
  }
}
