/**
 * Documents for libvirt from a tree of objects: `@name` is an attribute, `#` the text of an element. Every value is
 * escaped whatever it looks like; a serializer that leaves `&name;` alone would let a VM's name break its document.
 */
import { XMLBuilder } from 'fast-xml-parser';

export type XmlTree = Record<string, unknown>;

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  textNodeName: '#',
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
  processEntities: true,
});

export function renderXml(tree: XmlTree): string {
  return builder.build(tree) as string;
}
