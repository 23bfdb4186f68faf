/** The time that a question about usage is for. Pure. */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import { badRequest } from '../http/api-error.js';
import type { Window } from './charges.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LONGEST_DAYS = 400;
/** Longer windows are drawn by the day. */
const LONGEST_BY_HOUR = 3 * DAY;

export class WindowQuery {
  @ApiPropertyOptional({ description: 'UTC, as 2026-01-31T00:00:00. Default: the beginning of the month of the end.' })
  @IsOptional()
  @IsString()
  @MaxLength(40)
  start_date?: string;

  @ApiPropertyOptional({ description: 'UTC; not part of the time itself. Default: now.' })
  @IsOptional()
  @IsString()
  @MaxLength(40)
  end_date?: string;
}

/** @throws ApiError 400 for what is no time, runs backwards or is too long. */
export function windowOf({ start_date, end_date }: WindowQuery, now = new Date()): Window {
  const until = readTime('end_date', end_date) ?? now;
  const since = readTime('start_date', start_date) ?? monthOf(until);
  if (since >= until) throw badRequest('start_date must be before end_date.');
  if (until.getTime() - since.getTime() > LONGEST_DAYS * DAY)
    throw badRequest(`Ask for at most ${LONGEST_DAYS} days at a time.`);
  return { since, until };
}

/** The moment before the end decides: a window that ends with a month is that month. */
function monthOf(until: Date): Date {
  const last = new Date(until.getTime() - 1);
  return new Date(Date.UTC(last.getUTCFullYear(), last.getUTCMonth(), 1));
}

/** UTC unless a zone is named. @throws ApiError 400 for what is no time. */
export function readTime(name: string, text: string | undefined): Date | undefined {
  if (text === undefined || text === '') return undefined;
  const form = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  const time = form === null ? undefined : new Date(form[4] === undefined || form[7] !== undefined ? text : `${text}Z`);
  // A 31st of June would become the 1st of July.
  const day = form && new Date(`${form[1]}-${form[2]}-${form[3]}T00:00:00Z`);
  if (time === undefined || Number.isNaN(time.getTime()) || Number.isNaN(day!.getTime()) || day!.getUTCDate() !== Number(form![3]))
    throw badRequest(`${name} is no time like 2026-01-31T00:00:00: ${text}.`);
  return time;
}

/** Pieces of one length, but for the last. @returns the length in seconds too. */
export function pieces({ since, until }: Window): { granularity: number; windows: Window[] } {
  const step = until.getTime() - since.getTime() > LONGEST_BY_HOUR ? DAY : HOUR;
  const windows: Window[] = [];
  for (let start = since.getTime(); start < until.getTime(); start += step)
    windows.push({ since: new Date(start), until: new Date(Math.min(start + step, until.getTime())) });
  return { granularity: step / 1000, windows };
}
