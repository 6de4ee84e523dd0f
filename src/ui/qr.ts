import qrcode from 'qrcode-generator';

/** Light modules around the code, as scanners expect. */
const QUIET_ZONE = 4;

export interface QrDrawing {
  /** Modules on a side, quiet zone included. */
  readonly size: number;
  /** SVG path of the dark modules, one unit each. */
  readonly path: string;
}

/** Draws `text` as a QR code that survives a smudge (level M: 15 %). */
export function drawQr(text: string): QrDrawing {
  const code = qrcode(0, 'M');
  code.addData(text, 'Byte');
  code.make();
  const count = code.getModuleCount();
  let path = '';
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      if (code.isDark(row, column)) path += `M${column + QUIET_ZONE} ${row + QUIET_ZONE}h1v1h-1z`;
    }
  }
  return { size: count + 2 * QUIET_ZONE, path };
}
