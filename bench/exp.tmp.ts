import { silentLogger } from '../src/base/log.ts'
import { createCertificateAuthority } from '../src/pki/index.ts'
import { createCsr, generateNodeKey } from '../src/pki/x509/csr.ts'
import { systemClock, systemRandom } from '../src/platform/index.ts'
import { MemoryStore } from '../test/unit/pki/memory-store.ts'
const ca = createCertificateAuthority({ store: new MemoryStore(), clock: systemClock, random: systemRandom, log: silentLogger })
await ca.start(new AbortController().signal)
const csrs = await Promise.all(Array.from({ length: 300 }, async (_, i) => createCsr(await generateNodeKey(), `node-${i}`)))
for (let round=0;round<4;round++){
let stop=false; const slices:number[]=[]; let last=(process as any).threadCpuUsage()
const tick=()=>{ const now=(process as any).threadCpuUsage(last); slices.push((now.user+now.system)/1000); last=(process as any).threadCpuUsage(); if(!stop) setImmediate(tick)}
tick()
const t=performance.now(); const c=process.cpuUsage()
await Promise.all(csrs.map(async (pem,i)=>{ const csr=await ca.readCsr(pem); await ca.issue({csr,identity:{nodeId:`node-${i}`,role:'worker'},dnsNames:[`node-${i}.test`],ipAddresses:['10.0.0.1','fd00::1']})}))
const ms=performance.now()-t; const cpu=process.cpuUsage(c)
stop=true; slices.sort((a,b)=>a-b)
console.log('rate',(300/ms*1000).toFixed(0),'cpu/cert ms',((cpu.user+cpu.system)/300000).toFixed(2),'slice p50',slices[slices.length>>1]!.toFixed(2),'p99',slices[Math.floor(slices.length*.99)]!.toFixed(1),'max',slices.at(-1)!.toFixed(1), 'over1ms', slices.filter(s=>s>1).length)
}
