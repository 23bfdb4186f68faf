/**
 * qemu-img, which opens what strangers made: held to limits of memory and processor time that no honest image needs, so
 * that one made to exhaust it takes nothing else down with it.
 */
import { runCommand } from '../hypervisor/libvirt/host-command.js';

const MEMORY_BYTES = 2 ** 30;
const CPU_SECONDS = 30;
const TIMEOUT_MS = 60_000;

/** @param args always with the format of every file: qemu-img would guess it otherwise. */
export function qemuImg(...args: string[]): Promise<string> {
  return limited(CPU_SECONDS, TIMEOUT_MS, args);
}

/** For work that takes as long as the disk is large. */
export function qemuImgFor(timeoutMs: number, ...args: string[]): Promise<string> {
  return limited(Math.ceil(timeoutMs / 1000), timeoutMs, args);
}

function limited(cpuSeconds: number, timeoutMs: number, args: readonly string[]): Promise<string> {
  const limits = [`--as=${MEMORY_BYTES}`, `--cpu=${cpuSeconds}`, '--core=0'];
  return runCommand('prlimit', [...limits, 'qemu-img', ...args], { timeoutMs });
}
