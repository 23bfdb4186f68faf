/** The few letters that a simulated screen writes: five dots by seven each, a row as the bits of a number. */
const LETTERS: Readonly<Record<string, readonly number[]>> = {
  a: [14, 17, 17, 31, 17, 17, 17],
  b: [30, 17, 17, 30, 17, 17, 30],
  c: [14, 17, 16, 16, 16, 17, 14],
  d: [30, 17, 17, 17, 17, 17, 30],
  e: [31, 16, 16, 30, 16, 16, 31],
  f: [31, 16, 16, 30, 16, 16, 16],
  g: [14, 17, 16, 23, 17, 17, 15],
  h: [17, 17, 17, 31, 17, 17, 17],
  i: [14, 4, 4, 4, 4, 4, 14],
  j: [7, 2, 2, 2, 2, 18, 12],
  k: [17, 18, 20, 24, 20, 18, 17],
  l: [16, 16, 16, 16, 16, 16, 31],
  m: [17, 27, 21, 21, 17, 17, 17],
  n: [17, 17, 25, 21, 19, 17, 17],
  o: [14, 17, 17, 17, 17, 17, 14],
  p: [30, 17, 17, 30, 16, 16, 16],
  q: [14, 17, 17, 17, 21, 18, 13],
  r: [30, 17, 17, 30, 20, 18, 17],
  s: [15, 16, 16, 14, 1, 1, 30],
  t: [31, 4, 4, 4, 4, 4, 4],
  u: [17, 17, 17, 17, 17, 17, 14],
  v: [17, 17, 17, 17, 17, 10, 4],
  w: [17, 17, 17, 21, 21, 21, 10],
  x: [17, 17, 10, 4, 10, 17, 17],
  y: [17, 17, 17, 10, 4, 4, 4],
  z: [31, 1, 2, 4, 8, 16, 31],
  '0': [14, 17, 19, 21, 25, 17, 14],
  '1': [4, 12, 4, 4, 4, 4, 14],
  '2': [14, 17, 1, 2, 4, 8, 31],
  '3': [31, 2, 4, 2, 1, 17, 14],
  '4': [2, 6, 10, 18, 31, 2, 2],
  '5': [31, 16, 30, 1, 1, 17, 14],
  '6': [6, 8, 16, 30, 17, 17, 14],
  '7': [31, 1, 2, 4, 8, 8, 8],
  '8': [14, 17, 17, 14, 17, 17, 14],
  '9': [14, 17, 17, 15, 1, 2, 12],
  '-': [0, 0, 0, 31, 0, 0, 0],
  '.': [0, 0, 0, 0, 0, 12, 12],
};

const DOT = 3;
const COLUMNS = 5;
const ADVANCE = (COLUMNS + 1) * DOT;
export const TEXT_HEIGHT = 7 * DOT;

/** Calls `dot` for each that is inked; what does not fit into the width is left out. */
export function drawText(
  text: string,
  x: number,
  y: number,
  width: number,
  dot: (x: number, y: number, size: number) => void,
): void {
  const fitting = Math.floor((width - x) / ADVANCE);
  [...text.toLowerCase()].slice(0, fitting).forEach((letter, index) => {
    LETTERS[letter]?.forEach((bits, row) => {
      for (let column = 0; column < COLUMNS; column++)
        if ((bits >> (COLUMNS - 1 - column)) & 1) dot(x + index * ADVANCE + column * DOT, y + row * DOT, DOT);
    });
  });
}
