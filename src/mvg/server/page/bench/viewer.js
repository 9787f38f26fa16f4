// The volume on the screen: NiiVue draws it, this class says what to draw.
//
// NiiVue's own mouse and key handling, its undo and its export are left alone: the first would fight with our tools, the
// second ends after eight steps, and the third is mirrored on some inputs.

import { NVImage, Niivue, SLICE_TYPE, cmapper } from "../vendor/niivue/niivue.js";
import { tooLarge } from "../webgl.js";
import { Frames } from "./frames.js";
import { forTexture } from "./nifti.js";
import { PLANES } from "./plane.js";
import { RENDER_TILE, tilesOf } from "./tiles.js";

const LAYOUTS = {
  all: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  render: SLICE_TYPE.RENDER,
};
const AXIS_OF_TILE = [2, 1, 0]; // NiiVue counts axial, coronal, sagittal
const NAME = "study.nii";
const RGBA = 2304;
const COLORED = new Set([128, RGBA]); // NIfTI's codes of color pictures
const RIM = 0.4; // how much more opaque the outline of a label is than its inside
const OPTIONS = {
  interactive: false,
  logLevel: "error",
  dragAndDropEnabled: false,
  backColor: [0.035, 0.043, 0.055, 1],
  crosshairWidth: 0,
  fontColor: [0.62, 0.69, 0.75, 1],
  fontSizeScaling: 0.3,
  fontMinPx: 11,
  sagittalNoseLeft: true,
  isRadiologicalConvention: true,
};

// Asking waits for all that is being drawn, so it is asked once.
function isSoftware(gl) {
  const details = gl.getExtension("WEBGL_debug_renderer_info");
  return /swiftshader|llvmpipe|software|basic render/i.test(
    gl.getParameter(details?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER),
  );
}

export class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.nv = new Niivue(OPTIONS);
    this.ready = this.nv.attachToCanvas(canvas, false);
    this.layout = "all";
    this.main = 2;
    this.changed = new Set();
    this.frames = new Frames(
      canvas,
      () => this.frame(),
      () => this.software,
    );
    this.share = this.nv.drawOpacity;
  }

  // Whether the picture is drawn without a graphics card: then the 3D view is only drawn on its own.
  get software() {
    return (this.drawnBySoftware ??= isSoftware(this.nv.gl));
  }

  // Shows a RAS copy of a study, `range` being what is black and what is white. `wanted` tells after each wait whether
  // the user still wants this one; where not, nothing changes and false is returned.
  async open(buffer, range, wanted) {
    await this.ready;
    const gl = this.nv.gl;
    const content = forTexture(buffer, gl.getParameter(gl.MAX_3D_TEXTURE_SIZE));
    const [cal_min, cal_max] = range;
    const image = await NVImage.loadFromUrl({ url: NAME, name: NAME, buffer: content, cal_min, cal_max });
    if (!wanted()) return false;
    if (image.permRAS.some((axis, number) => axis !== number + 1)) {
      throw new Error("The server sent a volume that is not in RAS order; update server and page together.");
    }
    this.close();
    this.dims = image.hdr.dims.slice(1, 4);
    const reason = this.dims[2] > 1 && tooLarge(gl, this.dims);
    if (reason) throw new Error(reason);
    this.spacing = image.hdr.pixDims.slice(1, 4);
    this.colored = COLORED.has(image.hdr.datatypeCode);
    this.channels = image.hdr.datatypeCode === RGBA ? 4 : 3;
    // NiiVue draws after each of these; without a graphics card that takes seconds, and nobody sees it.
    this.nv.drawScene = () => {};
    this.nv.opts.is2DSliceShader = false;
    this.nv.addVolume(image);
    this.nv.createEmptyDrawing();
    this.labels = this.nv.drawBitmap;
    this.nv.setRenderAzimuthElevation(145, 18);
    this.fit();
    this.moveTo(this.dims.map((size) => Math.floor(size / 2)));
    delete this.nv.drawScene;
    this.draw();
    return true;
  }

  close() {
    if (!this.nv.volumes.length) return;
    this.nv.drawScene = () => {};
    // A drawing that stays open would be drawn over the next volume.
    if (this.nv.drawBitmap) this.nv.closeDrawing();
    while (this.nv.volumes.length) this.nv.removeVolumeByIndex(0);
    delete this.nv.drawScene;
    this.labels = null;
  }

  get image() {
    return this.nv.volumes[0];
  }

  // The intensity of a voxel, or its colors, as text.
  intensity(position) {
    const { img } = this.image;
    if (this.colored) return Array.from(img.subarray(position * this.channels, position * this.channels + 3)).join("/");
    return Number.isInteger(img[position]) ? String(img[position]) : img[position].toPrecision(4);
  }

  get voxel() {
    return Array.from(this.nv.frac2vox(this.nv.scene.crosshairPos));
  }

  moveTo(voxel) {
    const inside = voxel.map((value, axis) => Math.min(this.dims[axis] - 1, Math.max(0, value)));
    this.nv.scene.crosshairPos = this.nv.vox2frac(inside);
    this.draw();
  }

  // What lies under a point of the canvas (CSS pixels): {voxel, axis}, {render: true}, or null.
  under(x, y) {
    const [px, py] = [x * this.scale, y * this.scale];
    const tile = this.nv.screenSlices[this.nv.tileIndex(px, py)];
    if (!tile) return null;
    if (tile.axCorSag === RENDER_TILE) return { render: true };
    const frac = this.nv.canvasPos2frac([px, py]);
    if (frac[0] < 0) return null;
    const exact = Array.from(frac, (value, axis) => value * this.dims[axis] - 0.5);
    const axis = AXIS_OF_TILE[tile.axCorSag];
    const voxel = Array.from(this.nv.frac2vox(frac));
    // What is drawn may be a frame behind; the slice is the one that the user is on.
    voxel[axis] = exact[axis] = this.voxel[axis];
    return { axis, voxel, exact };
  }

  // Where the center of a voxel of a plane is drawn, in CSS pixels; null outside of the picture.
  screen(axis, voxel) {
    const tile = this.nv.screenSlices.find((one) => AXIS_OF_TILE[one.axCorSag] === axis);
    if (!tile) return null;
    const [first, second] = [0, 1, 2].filter((other) => other !== axis);
    const origin = this.nv.frac2mm([0, 0, 0]);
    const end = this.nv.frac2mm([1, 1, 1]);
    const millimetres = voxel.map((value, i) => origin[i] + ((value + 0.5) / this.dims[i]) * (end[i] - origin[i]));
    // A tile of negative width is mirrored and begins at its right edge, so the same line serves both.
    const [left, top, width, height] = tile.leftTopWidthHeight;
    const across = (millimetres[first] - tile.leftTopMM[0]) / tile.fovMM[0];
    const up = (millimetres[second] - tile.leftTopMM[1]) / tile.fovMM[1];
    return [(left + across * width) / this.scale, (top + (1 - up) * height) / this.scale];
  }

  // The pictures of planes on the screen: {axis, left, top, right, bottom} in CSS pixels.
  planes() {
    return this.nv.screenSlices
      .filter((tile) => tile.axCorSag < RENDER_TILE)
      .map((tile) => {
        const [left, top, width, height] = tile.leftTopWidthHeight.map((value) => value / this.scale);
        const sides = [left, left + width].sort((one, other) => one - other);
        return { axis: AXIS_OF_TILE[tile.axCorSag], left: sides[0], right: sides[1], top, bottom: top + height };
      });
  }

  // How many CSS pixels a voxel takes in the plane, across.
  pixelsPerVoxel(axis) {
    const tile = this.nv.screenSlices.find((one) => AXIS_OF_TILE[one.axCorSag] === axis);
    if (!tile) return 1;
    const first = axis === 0 ? 1 : 0;
    const share = this.spacing[first] / Math.abs(tile.fovMM[0]);
    return (Math.abs(tile.leftTopWidthHeight[2]) * share) / this.scale;
  }

  get scale() {
    return this.canvas.width / Math.max(1, this.canvas.clientWidth);
  }

  // The labels changed: all of them, or those of one plane; only these go to the graphics card.
  refresh(plane = null) {
    if (this.nv.opts.is2DSliceShader) return this.draw("labels");
    const gl = this.nv.gl;
    const offset = [0, 0, 0];
    const size = [...this.dims];
    if (plane) [offset[plane.axis], size[plane.axis]] = [plane.index, 1];
    gl.activeTexture(gl.TEXTURE7);
    gl.bindTexture(gl.TEXTURE_3D, this.nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const layer = plane ? plane.read(this.labels) : this.labels;
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...offset, ...size, gl.RED, gl.UNSIGNED_BYTE, layer);
    if (!plane || this.shows(plane)) this.draw();
  }

  // Whether any of a slice is on the screen: a view of one plane shows one slice of it.
  shows({ axis, index }) {
    return PLANES[axis] !== this.layout || this.voxel[axis] === index;
  }

  // `part` names what must be handed to the graphics card anew: "window", "labels" or "colors".
  draw(part) {
    this.changed.add(part);
    this.frames.request();
  }

  frame() {
    if (!this.image) return;
    if (this.changed.has("labels")) this.nv.refreshDrawing(false);
    if (this.changed.has("window")) this.nv.updateGLVolume();
    else {
      if (this.changed.has("colors")) this.nv.refreshColormaps();
      this.nv.drawScene();
    }
    this.changed.clear();
    this.onframe?.(); // what is drawn above the picture follows where it is now
  }

  // colors: [[red, green, blue, visible], ...] for the label numbers 1, 2, ...
  color(colors) {
    const channel = (number) => [0, ...colors.map((color) => color[number])];
    const alpha = [0, ...colors.map((color) => (color[3] ? 255 : 0))];
    const names = ["", ...colors.map((_, number) => String(number + 1))];
    const numbers = names.map((_, number) => number);
    const map = { R: channel(0), G: channel(1), B: channel(2), A: alpha, I: numbers, labels: names };
    this.nv.drawLut = cmapper.makeDrawLut(map);
    this.draw("colors");
  }

  opacity(share) {
    this.share = share;
    this.mix();
    this.draw();
  }

  window(low, high) {
    const range = [low, Math.max(high, low + 1e-6)];
    if (this.colored || range.every((value, side) => value === this.range[side])) return;
    [this.image.cal_min, this.image.cal_max] = range;
    this.draw("window");
  }

  get range() {
    return [this.image.cal_min, this.image.cal_max];
  }

  arrange(layout) {
    this.layout = layout;
    this.nv.customLayout = layout === "all" ? tilesOf(this.main, !this.software) : [];
    this.nv.opts.sliceType = LAYOUTS[layout];
    this.mix();
    this.draw();
  }

  // In 3D labels are surfaces, as solid as they can be: the image lies around them.
  mix() {
    const solid = this.layout === "render" && this.share > 0;
    this.nv.drawOpacity = solid ? 1 : this.share;
    this.nv.drawRimOpacity = Math.min(1, this.share + RIM); // outlines show where labels end, however faint they are
    if (this.nv.opts.smoothDrawing === Number(solid)) return;
    this.nv.opts.smoothDrawing = Number(solid);
    if (solid && this.image) this.changed.add("labels"); // their surfaces are computed anew
  }

  // Zooms so that the voxel `at` stays where it is on the screen.
  zoomBy(factor, at) {
    const [x, y, z, zoom] = this.nv.scene.pan2Dxyzmm;
    const next = Math.min(20, Math.max(0.5, zoom * factor));
    const mm = this.nv.frac2mm(this.nv.vox2frac(at));
    const pan = [x, y, z].map((value, axis) => value + (zoom - next) * mm[axis]);
    this.pan([...pan, next]);
  }

  // Moves the picture by a distance in millimetres.
  panBy(mm) {
    const [x, y, z, zoom] = this.nv.scene.pan2Dxyzmm;
    this.pan([x + mm[0] * zoom, y + mm[1] * zoom, z + mm[2] * zoom, zoom]);
  }

  turnBy(azimuth, elevation) {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    this.nv.scene.renderAzimuth = renderAzimuth + azimuth;
    this.nv.scene.renderElevation = Math.max(-90, Math.min(90, renderElevation + elevation));
    this.draw();
  }

  pan(xyzmmZoom) {
    this.nv.scene.pan2Dxyzmm = xyzmmZoom;
    this.draw();
  }

  fit() {
    this.pan([0, 0, 0, 1]);
  }
}
