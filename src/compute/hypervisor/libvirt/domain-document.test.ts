import { describe, expect, it } from '@jest/globals';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { DEFAULT_RULES } from '../../../protocol/security-rule.js';
import { domainXml, instanceXml, metadataTokenIn, parseInstance, type DomainDescription } from './domain-document.js';

const description: DomainDescription = {
  name: 'baton-6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
  uuid: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
  accelerator: { kind: 'tcg' },
  vcpus: 2,
  memoryMib: 512,
  consoleLog: '/var/lib/baton/console.log',
  onReboot: 'restart',
  instance: { node: 'node-1', incarnationId: 7, network: { address: '10.128.0.2', mac: '02:00:0a:80:00:02', subnet: '10.128.0.0/20', gateway: '10.128.0.1' }, resets: 0, resizes: 0, gpuAddresses: [] },
};
const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false, trimValues: false });
const parse = (changes: Partial<DomainDescription>) => {
  const xml = domainXml({ ...description, ...changes });
  expect(XMLValidator.validate(xml)).toBe(true);
  return (parser.parse(xml) as { domain: unknown }).domain as Record<string, unknown> & {
    os: Record<string, unknown>;
    devices: Record<string, { '@type'?: string }>;
    sysinfo: { system: { entry: { '#text': string } } };
  };
};

describe('the document of a domain', () => {
  it.each([
    ['an end tag', 'x</title></domain><domain>'],
    ['the end of a CDATA section', 'x ]]> y'],
    ['a CDATA section', '<![CDATA[ y ]]>'],
    ['an entity', '&lt; &amp;amp; &xxe;'],
    ['a comment', '--> <!-- y'],
    ['quotes', `"x" 'y'`],
    ['right-to-left text', '\u202eabc \u05d0\u05d1\u05d2'],
    ['an emoji', 'otter \u{1f9a6}'],
  ])('holds a title with %s as text', (_what, title) => {
    const domain = parse({ title });
    expect(domain.title).toBe(title);
    expect(domain.name).toBe(description.name);
  });

  it.each([
    ['a line break', 'one\ntwo'],
    ['a character that XML cannot write', 'one\u0000\u001btwo'],
    ['half a surrogate pair', 'one\ud83etwo'],
  ])('writes %s in a title as a blank', (_what, title) => {
    expect(parse({ title }).title).toBe('one two');
  });

  it('holds hostile kernel arguments and addresses as text', () => {
    const hostile = `a</cmdline><devices>'"&`;
    const domain = parse({ kernel: { path: '/k', arguments: hostile }, seedUrl: 'http://h/</entry>&/' });
    expect(domain.os.cmdline).toBe(hostile);
    expect(domain.sysinfo.system.entry['#text']).toBe('ds=nocloud;s=http://h/</entry>&/');
  });

  it('keeps the token of the metadata in their address', () => {
    const seedUrl = `http://169.254.75.1:8775/metadata/aB3_-token/${description.uuid}/`;
    expect(metadataTokenIn(domainXml({ ...description, seedUrl }))).toBe('aB3_-token');
    expect(metadataTokenIn(domainXml(description))).toBeUndefined();
  });

  it('emulates with a small translation cache and without a CPU model where there is no KVM', () => {
    const domain = parse({});
    expect(domain['@type']).toBe('qemu');
    expect(domain.cpu).toBeUndefined();
    expect(domain.features).toMatchObject({ tcg: { 'tb-cache': { '@unit': 'MiB', '#text': '32' } } });
  });

  it('gives the guest the host processor under KVM', () => {
    const domain = parse({ accelerator: { kind: 'kvm', cpuMode: 'host-passthrough' } });
    expect(domain['@type']).toBe('kvm');
    expect(domain.cpu).toMatchObject({ '@mode': 'host-passthrough' });
  });

  it('names the format of the disk and of its backing store, and ends the chain there', () => {
    const disk = parse({ disk: { overlay: '/o', base: '/b', baseFormat: 'raw' } }).devices.disk;
    expect(disk).toMatchObject({
      driver: { '@type': 'qcow2' },
      source: { '@file': '/o' },
      backingStore: { format: { '@type': 'raw' }, source: { '@file': '/b' }, backingStore: '' },
    });
  });

  it('hands a GPU through by its PCI address', () => {
    const instance = { ...description.instance!, gpuAddresses: ['0000:65:00.1'] };
    expect(parse({ instance }).devices.hostdev).toMatchObject({
      source: { address: { '@domain': '0x0000', '@bus': '0x65', '@slot': '0x00', '@function': '0x1' } },
    });
  });
});

describe('the network card of a domain', () => {
  it('is an isolated port of the bridge, under a name that the firewall knows', () => {
    const card = { mac: '52:54:00:01:02:03', tap: 'bt-0123456789ab', network: 'baton-node-1' };
    expect(parse({ interface: card }).devices['interface']).toMatchObject({
      mac: { '@address': card.mac },
      source: { '@network': card.network },
      target: { '@dev': card.tap },
      port: { '@isolated': 'yes' },
    });
  });
});

describe('the metadata of an instance', () => {
  const instance = {
    node: 'node-1',
    incarnationId: 12,
    resets: 3,
    resizes: 2,
    network: { address: '10.128.0.9', mac: '02:00:0a:80:00:09', subnet: '10.128.0.0/20', gateway: '10.128.0.1' },
    floatingIp: '198.51.100.9',
    rules: DEFAULT_RULES,
    gpuAddresses: ['0000:65:00.0', '0000:66:00.0'],
  };

  it('is read as it was written', () => {
    expect(parseInstance(instanceXml(instance))).toEqual(instance);
    expect(parseInstance(instanceXml({ ...instance, floatingIp: undefined, rules: undefined, gpuAddresses: [] }))).toEqual({
      ...instance,
      floatingIp: undefined,
      rules: undefined,
      gpuAddresses: [],
    });
  });

  it.each([undefined, '<instance/>', '<instance node="node-1"/>', '<instance node="node-1" incarnation="x"/>', '<other/>'])(
    'is not found in %s',
    (metadata) => expect(parseInstance(metadata)).toBeUndefined(),
  );
});
