/**
 * A placement explanation as one or two sentences, for the message of an API error and for a dry run.
 *
 * It reads nothing but the explanation, so that one stored long ago, with filters that are no more, still reads well.
 */
import type { PlacementExplanation } from './explanation.js';
import { gpus, memory, vcpus } from './quantities.js';

export function explainInWords(explanation: PlacementExplanation): string {
  const { nearest } = explanation;
  const sentence = `${outcome(explanation)} ${removals(explanation)}.`;
  return nearest === undefined ? sentence : `${sentence} Nearest: ${nearest.nodeName} ${nearest.reason}.`;
}

function outcome({ wanted, placeable }: PlacementExplanation): string {
  const vms = `${wanted.count} × ${size(wanted)}`;
  const where = `in region ${wanted.regionName}`;
  if (placeable >= wanted.count) return `There is room for ${vms} ${where}:`;
  if (placeable > 0) return `Only ${placeable} of ${vms} can be placed ${where}: for one more,`;
  return `No node can take ${wanted.count > 1 ? 'any of ' : ''}${vms} ${where}:`;
}

function size({ vcpus: cpus, memoryMib, diskGib, gpu }: PlacementExplanation['wanted']): string {
  const parts = [vcpus(cpus), memory(memoryMib), `${diskGib} GiB disk`];
  if (gpu !== undefined) parts.push(gpus(gpu));
  return parts.join(', ');
}

function removals({ considered, steps }: PlacementExplanation): string {
  if (considered === 0) return 'there are no nodes';
  const parts = steps.map((step) => step.summary).filter((summary) => summary !== '');
  const left = steps.at(-1)?.left ?? considered;
  if (left > 0) parts.push(`${left} ${left === 1 ? 'has' : 'have'} room`);
  return `of ${considered} ${considered === 1 ? 'node' : 'nodes'}, ${parts.join(', ')}`;
}
