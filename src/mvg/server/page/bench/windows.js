// Window presets: which intensities are black and which are white.

const CT = [
  ["Abdomen", -160, 240],
  ["Liver", -20, 140],
  ["Lung", -1350, 150],
  ["Bone", -500, 1300],
  ["Brain", 0, 80],
  ["Mediastinum", -125, 225],
];
const SAMPLES = 20_000;

// [name, low, high] for a study: {modality, window: {low, high}, range: [low, high]}; `image` holds the intensities.
export function presets(study, image) {
  const standard = ["Automatic", study.window.low, study.window.high];
  if (study.modality === "CT") return [standard, ...CT];
  const step = Math.max(1, Math.floor(image.length / SAMPLES));
  const values = [];
  for (let position = 0; position < image.length; position += step)
    if (image[position] !== image[0]) values.push(image[position]);
  values.sort((one, other) => one - other);
  const at = (share) => values[Math.floor(share * (values.length - 1))] ?? 0;
  const [low, high] = study.range;
  return [
    standard,
    ["Full range", low, high],
    ["Soft contrast", at(0.02), at(0.998)],
    ["Strong contrast", at(0.25), at(0.95)],
  ];
}
