interface DetectedBarcode {
  readonly rawValue: string;
}

interface BarcodeDetector {
  detect(source: HTMLVideoElement): Promise<readonly DetectedBarcode[]>;
}

interface BarcodeDetectorClass {
  new (options: { readonly formats: readonly string[] }): BarcodeDetector;
  getSupportedFormats(): Promise<readonly string[]>;
}

/** Between two looks at the picture, ms. */
const LOOK = 250;

function detectorClass(): BarcodeDetectorClass | undefined {
  return (globalThis as { readonly BarcodeDetector?: BarcodeDetectorClass }).BarcodeDetector;
}

/** Whether this browser can read QR codes with a camera; TypeScript does not know its interface. */
export async function canScan(): Promise<boolean> {
  if (!('mediaDevices' in navigator)) return false;
  const formats = await detectorClass()
    ?.getSupportedFormats()
    .catch((): readonly string[] => []);
  return formats?.includes('qr_code') ?? false;
}

/** Shows the camera in `video` until a QR code is read or `signal` aborts. Rejects when there is no camera, or no leave to use it. */
export async function scan(video: HTMLVideoElement, signal: AbortSignal): Promise<string | undefined> {
  const Detector = detectorClass();
  if (Detector === undefined) throw new Error('no barcode detector');
  const detector = new Detector({ formats: ['qr_code'] });
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  try {
    video.srcObject = stream;
    await video.play();
    while (!signal.aborted) {
      const [code] = await detector.detect(video);
      if (code !== undefined) return code.rawValue;
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
    return undefined;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  }
}
