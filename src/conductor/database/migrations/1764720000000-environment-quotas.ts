/**
 * Limits of environments, beside those of their organization. Only an environment that has a limit has a row and is
 * counted: for all others a statement costs a look at an empty table.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const KINDS = [
  'vms',
  'vcpus',
  'memory_mib',
  'disk_gib',
  'gpus',
  'volumes',
  'volume_gib',
  'floating_ips',
  'snapshots',
  'snapshot_gib',
] as const;

type Amounts = Readonly<Partial<Record<(typeof KINDS)[number], string>>>;

const every = (suffix: 'max' | 'used'): string => KINDS.map((kind) => `"${kind}_${suffix}" >= 0`).join(' AND ');

/** What a row of incarnation counts: a hibernated VM no more than itself and its disk. */
const claim = (row: string, sign: '' | '-' = ''): string => {
  const whole = `${sign}(${row}.claimed AND NOT ${row}.hibernated)::int`;
  const part = `${sign}(${row}.claimed)::int`;
  return `SELECT vm.environment_id, ${part} AS vms, ${whole} * ${row}.vcpus AS vcpus, ${whole} * ${row}.memory_mib AS memory_mib,
                 ${part} * ${row}.disk_gib AS disk_gib, ${whole} * ${row}.gpu_count AS gpus
            FROM ${row} JOIN virtual_machine vm ON vm.id = ${row}.virtual_machine_id`;
};

const volume = (row: string, sign: '' | '-' = ''): string =>
  `SELECT environment_id, ${sign}(deleted_at IS NULL)::int AS volumes, ${sign}(deleted_at IS NULL)::int * size_gib AS volume_gib FROM ${row}`;

const snapshot = (row: string, sign: '' | '-' = ''): string =>
  `SELECT environment_id, ${sign}(deleted_at IS NULL)::int AS snapshots, ${sign}claimed_gib AS snapshot_gib FROM ${row}`;

const floatingIp = (row: string, sign: '' | '-' = ''): string =>
  `SELECT vm.environment_id, ${sign}1 AS floating_ips FROM ${row} JOIN virtual_machine vm ON vm.id = ${row}.virtual_machine_id`;

const CLAIM: Amounts = { vms: 'vms', vcpus: 'vcpus', memory_mib: 'memory_mib', disk_gib: 'disk_gib', gpus: 'gpus' };
const VOLUME: Amounts = { volumes: 'volumes', volume_gib: 'volume_gib' };
const SNAPSHOT: Amounts = { snapshots: 'snapshots', snapshot_gib: 'snapshot_gib' };
const FLOATING_IP: Amounts = { floating_ips: 'floating_ips' };

/** In the order of ids, so that statements about several environments lock them in the same order. */
const charge = (amounts: Amounts, changes: string): string => `
  PERFORM charge_environment(s.environment_id, ${KINDS.map((kind) => (amounts[kind] === undefined ? '0' : `s.${kind}`)).join(', ')})
     FROM (SELECT q.environment_id, ${Object.keys(amounts).map((kind) => `sum(c.${kind})::int AS ${kind}`).join(', ')}
             FROM (${changes}) c JOIN environment_quota q ON q.environment_id = c.environment_id
            GROUP BY q.environment_id
           HAVING ${Object.keys(amounts).map((kind) => `sum(c.${kind}) <> 0`).join(' OR ')}
            ORDER BY q.environment_id) s`;

/**
 * A trigger of its own, named so that it runs after the one that counts for the organization: PostgreSQL goes by the
 * name. That one has locked the organization's row, as whoever sets a limit does: so either the limit is seen by the next
 * statement here, or it counts what this transaction has written. Where a change may leave the sums of the organization
 * as they are, `before` takes that lock.
 */
const trigger = (table: string, event: 'INSERT' | 'UPDATE', things: string, counting: string, before = ''): string[] => {
  const name = `count_${event === 'INSERT' ? 'new' : 'changed'}_${things}_of_environment`;
  return [
    `CREATE FUNCTION "${name}"() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        ${before}
        IF EXISTS (SELECT 1 FROM environment_quota) THEN
          ${counting};
        END IF;
        RETURN NULL;
      END $$`,
    `CREATE TRIGGER "${name}" AFTER ${event} ON "${table}"
      REFERENCING ${event === 'UPDATE' ? 'OLD TABLE AS old_row ' : ''}NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "${name}"()`,
  ];
};

const lockOrganizations = (organizations: string): string =>
  `PERFORM FROM organization_quota WHERE organization_id IN (${organizations}) ORDER BY organization_id FOR NO KEY UPDATE;`;

const both = (of: (row: string, sign?: '-') => string): string => `${of('new_row')} UNION ALL ${of('old_row', '-')}`;

const STATEMENTS = [
  `CREATE TABLE "environment_quota" (
    "environment_id" integer NOT NULL,
    ${KINDS.map((kind) => `"${kind}_max" integer,\n    "${kind}_used" integer NOT NULL DEFAULT '0',`).join('\n    ')}
    CONSTRAINT "ck_environment_quota_max" CHECK (${every('max')}),
    CONSTRAINT "ck_environment_quota_used" CHECK (${every('used')}),
    CONSTRAINT "pk_environment_quota" PRIMARY KEY ("environment_id"),
    CONSTRAINT "fk_environment_quota_environment_id" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE CASCADE
  )`,
  `CREATE FUNCTION "charge_environment"(charged int, ${KINDS.map((kind) => `${kind} int`).join(', ')})
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE exceeded jsonb;
    BEGIN
      UPDATE environment_quota q SET ${KINDS.map((kind) => `${kind}_used = q.${kind}_used + ${kind}`).join(', ')}
       WHERE q.environment_id = charged
      RETURNING (SELECT jsonb_agg(l) FROM (VALUES
                  ${KINDS.map((kind) => `('${kind}', q.${kind}_max, q.${kind}_used - ${kind}, ${kind})`).join(', ')}) AS l(kind, max, used, asked)
                 WHERE l.asked > 0 AND l.used + l.asked > l.max)
        INTO exceeded;
      IF exceeded IS NOT NULL THEN
        RAISE EXCEPTION 'quota of environment % exceeded', charged USING ERRCODE = 'BT003',
          DETAIL = jsonb_build_object('environment', (SELECT e.name FROM environment e WHERE e.id = charged), 'excesses', exceeded)::text;
      END IF;
    END $$`,
  ...trigger('incarnation', 'INSERT', 'claims', charge(CLAIM, claim('new_row'))),
  ...trigger('incarnation', 'UPDATE', 'claims', charge(CLAIM, both(claim))),
  ...trigger('volume', 'INSERT', 'volumes', charge(VOLUME, volume('new_row'))),
  ...trigger(
    'volume',
    'UPDATE',
    'volumes',
    charge(VOLUME, both(volume)),
    lockOrganizations(
      'SELECT n.organization_id FROM new_row n JOIN old_row o ON o.id = n.id WHERE n.environment_id <> o.environment_id',
    ),
  ),
  ...trigger('snapshot', 'INSERT', 'snapshots', charge(SNAPSHOT, snapshot('new_row'))),
  ...trigger('snapshot', 'UPDATE', 'snapshots', charge(SNAPSHOT, both(snapshot))),
  // Most statements that could release an address release none: nothing is joined for those.
  ...trigger(
    'floating_ip',
    'UPDATE',
    'floating_ips',
    charge(FLOATING_IP, both(floatingIp)),
    `IF NOT EXISTS (SELECT 1 FROM new_row) THEN
       RETURN NULL;
     END IF;
     ${lockOrganizations(
       `SELECT vm.organization_id FROM virtual_machine vm
         WHERE vm.id IN (SELECT virtual_machine_id FROM new_row UNION ALL SELECT virtual_machine_id FROM old_row)`,
     )}`,
  ),
];

const TRIGGERS = [
  ['count_new_claims_of_environment', 'incarnation'],
  ['count_changed_claims_of_environment', 'incarnation'],
  ['count_new_volumes_of_environment', 'volume'],
  ['count_changed_volumes_of_environment', 'volume'],
  ['count_new_snapshots_of_environment', 'snapshot'],
  ['count_changed_snapshots_of_environment', 'snapshot'],
  ['count_changed_floating_ips_of_environment', 'floating_ip'],
] as const;

const UNDO = [
  ...TRIGGERS.flatMap(([name, table]) => [`DROP TRIGGER "${name}" ON "${table}"`, `DROP FUNCTION "${name}"`]),
  'DROP FUNCTION "charge_environment"',
  'DROP TABLE "environment_quota"',
];

export class EnvironmentQuotas1764720000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of UNDO) await runner.query(statement);
  }
}
