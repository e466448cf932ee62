import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { toHex } from '../../../src/base/bytes.ts'
import {
  createPlot,
  generatePlot,
  legacyPlotPassword,
  openPlot,
  plotFingerprint,
  plotJoinKey,
  plotPassword,
  readPlot,
  writePlot,
} from '../../../src/storage/index.ts'
import { legacyPlotKeyMaterial, legacyPlotLayers } from '../../../src/storage/vault/legacy-plot.ts'
import { checkPlot, findPattern, PLOT_ALPHABET, PLOT_CHARACTERS } from '../../../src/storage/vault/plot.ts'
import { plotKeyMaterial, plotLayers } from '../../../src/storage/vault/plot-layers.ts'
import { SimulatedRandom } from '../../../src/testing/simulated-random.ts'
import { bytesOf, refusal, world } from './support.ts'

const PATH = '/node/dist/services/plot'

/** The plot of the Python program's test vector: a linear congruential generator. */
const VECTOR_PLOT = vectorPlot()
const VECTOR_PATTERN = '!M(XmBgaR%f=?ZH7e]5'
/** docs/protocol/plot.md publishes these. */
const VECTOR_PASSWORD =
  'wx#-v5cvQ6tD+%w`tvL9I>fKX85>69H*fDsk}H[4V}[T(os=`Q-IUKu1NP}7{UI8*-PQ*m-qd%.s>5/2U({h)q7RHin)WIyI+YcX'

test('the pattern of a plot of the Python program is found as it was there', () => {
  assert.equal(
    createHash('sha256').update(VECTOR_PLOT).digest('hex'),
    '74b6ad73c192a3894d7037c6cebd516bb2541ed852f5f84013bbe2cefa2addc7',
  )
  assert.equal(findPattern(VECTOR_PLOT), VECTOR_PATTERN)
})

test('the layers and the password of the Python program come out as they did there', async () => {
  assert.deepEqual(legacyPlotLayers(VECTOR_PLOT, VECTOR_PATTERN, 'plot').map(toHex), [
    'bca64c719af08d77474f3fc9c9073f6ad80f2f66d1ca17739cc72410acf2c99414212359bd87ea7507109cf40deea1c6a6f09793e347dfdb190ee13d9a010a47',
    '971e865cefb998bef2480622208552733b1a08406df9d3029532222cd1a3324f',
    'e94b3e597c4c97645180fbabe23f98a3876c03910d9a26c74d2867b76dd5e97c',
    '56a9027b6b9415922833c3df2ed2442b741ac2ca45d3613d2d740497052dfd682bedc175b98dd290f9e8a7455d8fb55caf28d8af7a7049762a71ea57091d137a',
    '6058beadcf01eaf2a524e46049303cd8bc9eb6e2eff0688775aeaa8bc7ce99b4',
    '8b1d9d2c85aceab694b0fcf205670c14a231617db48bda6af8e8cdd519757e1b',
    '1241a6f7cba71f689477fd28e45aa232a0f6136fe757b5f1cd8959a986d3b959',
  ])
  const { salt, iterations } = legacyPlotKeyMaterial(VECTOR_PLOT, VECTOR_PATTERN, 'plot')
  assert.deepEqual(
    [toHex(salt), iterations],
    ['b096a6c0a23d4a06a055c1a70463ccf298166de56d587e1acc7cf8a46c937484', 503_347],
  )
  assert.equal(
    await legacyPlotPassword(VECTOR_PLOT),
    'HsXA$l1=Pyh,0b70@uf2rLsCEC*h%37vy&3s%#RXYI590L_Hhawj#gwg;eplYe8+D(?7j>6@cI6&AXwBI%9IjHtjJ&:$CSh(gQ,v',
  )
})

test('the layers, the password, the join key and the fingerprint are the published ones, for ever', async () => {
  assert.deepEqual(plotLayers(VECTOR_PLOT, VECTOR_PATTERN).map(toHex), [
    'bca64c719af08d77474f3fc9c9073f6ad80f2f66d1ca17739cc72410acf2c99414212359bd87ea7507109cf40deea1c6a6f09793e347dfdb190ee13d9a010a47',
    'c6bb68433f5a79a4a96e21835fcac8255005a0d3104a1c368a735e9fc4a9c5f6',
    'bb880c8d59fe76eb51185fa0733a53cf87f220a6e14998250a9153b04093a783',
    '7783cf0b73c3cec95f57355976a2b1302fa46c0b050ada18e5ba2f129062030e5969078d3c065ed98f7fb2bac8d6d6bb5e97a7372cac4128c209104d71c846f0',
    '6058beadcf01eaf2a524e46049303cd8bc9eb6e2eff0688775aeaa8bc7ce99b4',
    '22f0877b8ce18534aa3acffdb6448a744add15d7db8d4cedfa9f07f8a7b4df1c',
    'e56e71da16b8d4e84ba94c37b56afd265f8dd6f151e19aef01c312d23ccbac27',
  ])
  const { salt } = plotKeyMaterial(VECTOR_PLOT, VECTOR_PATTERN)
  assert.equal(toHex(salt), '8ee5710b481e48fa6c49b7c3c9a7a22589b744934b6980bb484f41d65388d42c')
  const password = await plotPassword(VECTOR_PLOT)
  assert.equal(password, VECTOR_PASSWORD)
  assert.equal(toHex(plotJoinKey(password)), '9f9fa68ee7829262d4f6b20923e68c98e82f9251f5cc59a89ed43d276095dd0c')
  assert.equal(plotFingerprint(password), 'de64-8d9a-f1b1-7aa7')
})

test('a new plot has the size and alphabet of the Python program and a pattern of 85 characters, from every start', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const text = generatePlot(new SimulatedRandom(seed))
    checkPlot(text, 'plot')
    assert.equal(text.length, PLOT_CHARACTERS)
    assert.equal(new Set(findPattern(text)).size, PLOT_ALPHABET.length)
    assert.equal(findPattern(text), findPattern(text.slice(0, 2000)))
  }
  assert.notEqual(generatePlot(new SimulatedRandom(1)), generatePlot(new SimulatedRandom(2)))
})

test('the characters of new plots are equally likely', () => {
  const counts = new Map<string, number>()
  for (let seed = 1; seed <= 30; seed++) {
    for (const character of generatePlot(new SimulatedRandom(seed)).slice(85))
      counts.set(character, (counts.get(character) ?? 0) + 1)
  }
  const expected = (30 * (PLOT_CHARACTERS - 85)) / 85
  for (const character of PLOT_ALPHABET) {
    const count = counts.get(character) ?? 0
    // Six standard deviations; the bias of `byte % 85` would be fifty per cent.
    assert.ok(Math.abs(count - expected) < 6 * Math.sqrt(expected), `${character}: ${count}`)
  }
})

test('a plot is written for its owner only, durably, and read back with its password', async () => {
  const w = world()
  const steps: string[] = []
  const made = await createPlot(w.needs, { path: PATH, onProgress: (step) => steps.push(step) })
  assert.deepEqual(steps, ['generating', 'checking', 'writing', 'deriving'])
  assert.equal((await w.disk.facts(PATH))?.mode, 0o600)
  w.disk.restart()
  assert.deepEqual(await openPlot(w.disk, PATH), made)
  assert.match(made.password, /^.{100}$/)
  assert.match(made.fingerprint, /^[0-9a-f]{4}(-[0-9a-f]{4}){3}$/)
  assert.ok(!made.password.includes(made.fingerprint))
})

test('neither the name, the place nor the time of a plot changes its password', async () => {
  const w = world()
  const text = generatePlot(w.random)
  await writePlot(w.disk, '/a/plot', text)
  await writePlot(w.disk, '/b/other-name', text)
  const [a, b] = [await openPlot(w.disk, '/a/plot'), await openPlot(w.disk, '/b/other-name')]
  assert.equal(a.password, b.password)
})

test('an existing plot is never replaced, and a half-written one does not stay', async () => {
  const w = world()
  const text = generatePlot(w.random)
  await writePlot(w.disk, PATH, text)
  await assert.rejects(createPlot(w.needs, { path: PATH }), refusal('P2P_STORAGE_EXISTS', PATH))
  assert.equal(await readPlot(w.disk, PATH), text)
  w.disk.capacityBytes = PLOT_CHARACTERS + 100
  await assert.rejects(writePlot(w.disk, '/other', text), refusal('P2P_STORAGE_FULL'))
  assert.equal(await w.disk.facts('/other'), undefined)
})

test('a plot that others can read is refused with the remedy', async () => {
  const w = world()
  await writePlot(w.disk, PATH, generatePlot(w.random))
  for (const mode of [0o644, 0o640, 0o604, 0o660]) {
    w.disk.chmod(PATH, mode)
    await assert.rejects(
      readPlot(w.disk, PATH),
      refusal('P2P_STORAGE_PLOT_PERMISSIONS', mode.toString(8), `chmod 600 ${PATH}`),
    )
  }
})

test('a plot that is missing, cut, grown, of other characters or without a pattern is refused by name', async () => {
  const w = world()
  const text = generatePlot(w.random)
  await assert.rejects(readPlot(w.disk, PATH), refusal('P2P_STORAGE_PLOT_MISSING', PATH))
  const broken: [string, string][] = [
    ['', '0 bytes'],
    [text.slice(1), '3346 bytes'],
    [`${text}\n`, '3348 bytes'],
    [`${text.slice(0, -1)}~`, 'the byte at 3346'],
    [`${text.slice(0, 100)}\n${text.slice(101)}`, 'the byte at 100'],
    ['q'.repeat(PLOT_CHARACTERS), 'no repeating pattern'],
  ]
  for (const [content, reason] of broken) {
    w.disk.overwrite(PATH, bytesOf(content))
    await assert.rejects(readPlot(w.disk, PATH), refusal('P2P_STORAGE_PLOT_INVALID', PATH, reason))
    await assert.rejects(plotPassword(content), refusal('P2P_STORAGE_PLOT_INVALID', reason))
  }
})

function vectorPlot(): string {
  let x = 1n
  let text = ''
  while (text.length < 3347) {
    x = (x * 1_103_515_245n + 12_345n) % 2n ** 31n
    text += PLOT_ALPHABET.charAt(Number((x >> 16n) % 85n))
  }
  return text
}
