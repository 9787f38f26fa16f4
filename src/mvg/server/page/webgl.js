// Whether this browser can draw volumes, and what to do where it cannot.

// A line for the user, or null where all is well.
export function missingWebGL() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2");
  if (!context) {
    return (
      "This browser offers no WebGL 2, which the bench needs to draw volumes. Turn on “hardware acceleration” in its settings, " +
      "update the graphics driver, or, on a machine without a graphics card, start Chromium with --enable-unsafe-swiftshader."
    );
  }
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return null;
}

// Whether a volume fits the graphics card: its limit on each side of a volume, or null where it fits.
export function tooLarge(gl, shape) {
  const most = gl.getParameter(gl.MAX_3D_TEXTURE_SIZE);
  const side = Math.max(...shape);
  return side > most ? `The study is ${side} voxels along one side; this graphics card draws at most ${most}.` : null;
}
