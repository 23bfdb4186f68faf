/** Nothing is stuck: every state that is not the last one has somebody who brings it on, and a deadline. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { overdue, UNFINISHED, type Unfinished } from '../src/conductor/admin/unfinished-states.js';
import { IMAGE_STATUSES } from '../src/conductor/catalog/image.entity.js';
import { VM_DEADLINE_MINUTES } from '../src/conductor/tasks/vm-deadlines.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

const age = (minutes: number) => cloud.database.query('UPDATE task SET created_at = created_at - make_interval(mins => $1)', [minutes]);

async function untilItHangs(id: number): Promise<void> {
  await eventually(async () => {
    const tasks = await cloud.database.query<Json[]>(`SELECT 1 FROM task WHERE virtual_machine_id = $1 AND state = 'published'`, [id]);
    expect(tasks).toHaveLength(1);
  });
}

describe('every state that is not the last one', () => {
  it.each(Object.entries(UNFINISHED))('of a %s has a deadline, an owner and a next action', (_, { states }) => {
    const unfinished = Object.values(states).filter((state): state is Unfinished => state !== 'final');
    expect(unfinished.length).toBeGreaterThan(0);
    for (const { minutes, owner, next } of unfinished) {
      expect(minutes).toBeGreaterThan(0);
      expect(owner).not.toBe('');
      expect(next).not.toBe('');
    }
  });
});

describe('in a cloud', () => {
  beforeEach(async () => {
    cloud = await startCloud();
    vms = new VmClient(cloud);
  });
  afterEach(async () => {
    await eventually(async () => expect(await fsck(cloud.database)).toEqual([])).finally(() => cloud.stop());
  });

  describe('every state', () => {
    it('that a CHECK of the database allows is among them', async () => {
      const checks = await cloud.database.query<{ table: string; column: string; definition: string }[]>(
        `SELECT c.conrelid::regclass::text AS table, a.attname AS column, pg_get_constraintdef(c.oid) AS definition
           FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)
          WHERE c.contype = 'c' AND a.attname IN ('state', 'status') AND pg_get_constraintdef(c.oid) ~ '= ANY'`,
      );
      const KINDS: Readonly<Record<string, keyof typeof UNFINISHED | 'has no work'>> = {
        image: 'image',
        console_session: 'console',
        // Its owner accepts it or leaves it, and it says until when that is possible.
        invite: 'has no work',
      };
      expect(checks.length).toBeGreaterThan(0);
      for (const { table, definition } of checks) {
        const kind = KINDS[table];
        if (kind === undefined) throw new Error(`Say in src/conductor/admin/unfinished-states.ts what happens to a ${table}, and here where.`);
        if (kind === 'has no work') continue;
        const allowed = [...definition.matchAll(/'([^']+)'::text/g)].map(([, state]) => state!);
        expect(Object.keys(UNFINISHED[kind].states)).toEqual(expect.arrayContaining(allowed));
      }
      expect(Object.keys(UNFINISHED.image.states).sort()).toEqual([...IMAGE_STATUSES].sort());
    });

    it('that a row is in has an entry', async () => {
      await vms.active({ name: 'runs' });
      for (const { rows, states } of Object.values(UNFINISHED)) {
        const seen = await cloud.database.query<{ state: string }[]>(`SELECT DISTINCT state FROM (${rows}) r`);
        expect(Object.keys(states)).toEqual(expect.arrayContaining(seen.map(({ state }) => state)));
      }
    });
  });

  describe('what is overdue', () => {
    it('is nothing, in a cloud that works', async () => {
      await vms.active({ name: 'runs' });
      expect(await overdue(cloud.database)).toEqual([]);
    });

    it('is told with whom it waits for and what to do, also by fsck', async () => {
      const vm = await vms.active({ name: 'lingers' });
      cloud.nodes[0]!.hypervisor.misbehaviours = { remove: { kind: 'hanging' } };
      await vms.delete(`/${vm.id}`);
      await untilItHangs(vm.id);
      expect(await overdue(cloud.database)).toEqual([]);
      await age(61);
      expect(await overdue(cloud.database)).toEqual([
        expect.objectContaining({ subject: `virtual machine ${vm.id}`, state: 'DELETING', owner: "the worker of the VM's node", next: expect.stringContaining('restart its worker') }),
      ]);
      expect(await fsck(cloud.database)).toContainEqual(expect.objectContaining({ invariant: 'nothing-is-overdue', subject: `virtual machine ${vm.id}` }));
      // What the advice says.
      await cloud.nodes[0]!.stop();
      await cloud.nodes[0]!.start();
      await vms.gone(vm.id);
    }, 60_000);
  });

  describe('a VM whose worker holds a start that never returns', () => {
    beforeEach(() => void (cloud.nodes[0]!.hypervisor.misbehaviours = { start: { kind: 'hanging' } }));

    it('waits until its deadline, and is then in ERROR with the reason, an event and nothing left to do', async () => {
      const { body } = await vms.post({ name: 'hangs' });
      const [{ id }] = body.instances;
      await vms.reaches(id, 'BUILD');
      await age(VM_DEADLINE_MINUTES + 1);
      const vm = await vms.reaches(id, 'ERROR');
      expect(vm.fault).toContain('has not told within 60 minutes');
      const tasks = await cloud.database.query<Json[]>('SELECT state, last_error FROM task WHERE virtual_machine_id = $1', [id]);
      expect(tasks).toEqual([{ state: 'failed', last_error: vm.fault }]);
      const events = await vms.get(`/${id}/events`);
      expect(events.text).toContain('has not told within');
    });

    it('can be deleted then, once its worker is at work again', async () => {
      const { body } = await vms.post({ name: 'hangs' });
      const [{ id }] = body.instances;
      await vms.reaches(id, 'BUILD');
      await age(VM_DEADLINE_MINUTES + 1);
      await vms.reaches(id, 'ERROR');
      await vms.delete(`/${id}`);
      await cloud.nodes[0]!.stop();
      await cloud.nodes[0]!.start();
      await vms.gone(id);
      expect(await cloud.nodes[0]!.hypervisor.inventory()).toEqual([]);
    }, 60_000);

    it('is ACTIVE after all when the start returns later', async () => {
      const { hypervisor } = cloud.nodes[0]!;
      hypervisor.misbehaviours = {};
      const startDomain = hypervisor.start.bind(hypervisor);
      let goOn: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (goOn = resolve));
      hypervisor.start = async (identity) => {
        await held;
        await startDomain(identity);
      };
      const { body } = await vms.post({ name: 'late' });
      const [{ id }] = body.instances;
      await vms.reaches(id, 'BUILD');
      await age(VM_DEADLINE_MINUTES + 1);
      await vms.reaches(id, 'ERROR');
      goOn();
      expect((await vms.reaches(id, 'ACTIVE')).fault).toBeNull();
    });
  });
});
