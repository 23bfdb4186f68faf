/**
 * From the files of a repository to checked documents, each with the lines that its fields are on. YAML is read as
 * YAML 1.2 core, without custom tags, with a cap on aliases, and document by document, so that one that is wrong keeps
 * no other, and so that a long file does not keep the process.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Composer, isMap, isNode, LineCounter, Parser, type Document, type ParsedNode } from 'yaml';
import type { ManifestProblem } from './resource.js';
import { checkDocument, type FieldProblem, type ManifestDocument } from './schema.js';

/** A bomb of aliases is refused, while a shared anchor in each document is not. */
const MOST_ALIASES = 100;
/** How long documents are read before others get their turn, in milliseconds. */
const TURN_MS = 10;

export interface ReadDocument {
  readonly document: ManifestDocument;
  readonly file: string;
  /** Of the document. */
  readonly line: number;
  /** The line of a field, or of what is nearest to it. */
  lineOf(path: readonly (string | number)[]): number;
}

export interface ReadResult {
  readonly documents: readonly ReadDocument[];
  readonly problems: readonly ManifestProblem[];
}

export type ManifestFiles = ReadonlyMap<string, Buffer>;

export const isManifestFile = (path: string): boolean => /\.ya?ml$/i.test(path);

/** Of files whose names end in .yaml or .yml; other files are there to be referred to. */
export async function readDocuments(files: ManifestFiles): Promise<ReadResult> {
  const documents: ReadDocument[] = [];
  const problems: ManifestProblem[] = [];
  let turnEnds = performance.now() + TURN_MS;
  for (const [file, content] of files) {
    if (!isManifestFile(file)) continue;
    const text = asText(content);
    if (text === undefined) {
      problems.push({ file, line: 1, field: '', message: 'is not UTF-8 text' });
      continue;
    }
    const lines = new LineCounter();
    const tokens = new Parser(lines.addNewLine).parse(text);
    for (const document of new Composer({ version: '1.2', schema: 'core', customTags: [], merge: false }).compose(tokens)) {
      const read = readDocument(file, document, lines);
      if (Array.isArray(read)) problems.push(...(read as ManifestProblem[]));
      else if (read !== undefined) documents.push(read as ReadDocument);
      if (performance.now() > turnEnds) {
        await nextTurn();
        turnEnds = performance.now() + TURN_MS;
      }
    }
  }
  return { documents, problems };
}

function asText(content: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return undefined;
  }
}

/** @returns nothing for a document without content, as between two separators. */
function readDocument(file: string, document: Document.Parsed, lines: LineCounter): ReadDocument | ManifestProblem[] | undefined {
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  if (document.errors.length > 0)
    return document.errors.map(({ pos, message }) => ({ file, line: lineAt(pos[0]), field: '', message: firstLine(message) }));
  if (document.contents === null) return undefined;
  const lineOf = (path: readonly (string | number)[]): number => lineAt(offsetOf(document, path));
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch {
    return [{ file, line: lineOf([]), field: '', message: 'has more aliases than are allowed' }];
  }
  if (value === null) return undefined;
  const checked = checkDocument(value);
  if (isProblems(checked))
    return checked.map(({ path, message }) => ({ file, line: lineOf(path), field: fieldName(path), message }));
  return { document: checked, file, line: lineOf([]), lineOf };
}

const isProblems = (checked: ManifestDocument | readonly FieldProblem[]): checked is readonly FieldProblem[] => Array.isArray(checked);

/** Of the field's key where it has one; of the nearest thing around it where it is missing. */
function offsetOf(document: Document.Parsed, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && item.key.toJSON() === key);
      if (pair !== undefined) return (pair.key as ParsedNode).range[0];
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

export const fieldName = (path: readonly (string | number)[]): string =>
  path.reduce<string>((name, part) => (typeof part === 'number' ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`), '');

const firstLine = (message: string): string => message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '');
