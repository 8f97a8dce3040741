import * as tf from "@tensorflow/tfjs";
import { makeFeeds, OnnxRuntimeBackend } from "../../lib/engine/onnxruntime/backend.ts";
import { lower, subgraph, scalar, int64s } from "../../lib/engine/onnxruntime/graph.ts";
import { Session } from "../../lib/engine/onnxruntime/session.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { convolution } from "../../lib/engine/onnxruntime/kernels/convolution.ts";
import { resize } from "../../lib/engine/onnxruntime/kernels/resize.ts";
import { matMul } from "../../lib/engine/onnxruntime/kernels/linear_algebra.ts";
import { transpose, concat, pad, slice } from "../../lib/engine/onnxruntime/kernels/shape.ts";
await setEngine();
const r:any=new OnnxRuntimeBackend();
const size=(s:number[])=>s.reduce((a,b)=>a*b,1);
const leaf=(shape:number[]):any=>r.constant(Float32Array.from({length:size(shape)},()=>Math.random()*.9+.1),shape,"float32");
const rec=(op:string,ins:any[],shape:number[],attributes:any={},domain="")=>r.record(op,ins,{shape,dtype:"float32",attributes,domain});
function group(title:string, forms:Record<string,()=>any>, n=12){
  const ss=Object.entries(forms).map(([name,f])=>{const o=f(); const l=lower(subgraph([o.storage]),()=>false); return {name,s:new Session(l),feeds:makeFeeds(l.feeds),best:Infinity};});
  for(const x of ss) x.s.run(x.feeds);
  for(let i=0;i<n;i++) for(const x of ss){const t=performance.now(); x.s.run(x.feeds); x.best=Math.min(x.best,performance.now()-t);}
  const m=Math.min(...ss.map(x=>x.best));
  console.log(title.padEnd(34), ss.map(x=>`${x.name} ${(x.best/m).toFixed(2)} (${x.best.toFixed(2)}ms)`).join("  "));
  ss.forEach(x=>x.s.release());
}
const only=Deno.args[0];
const G=(t:string,f:any,n?:number)=>{ if(!only||t.includes(only)) group(t,f,n); };


const N=40;
for (const [M,K1,N1] of [[8192,256,768],[8192,768,256],[8192,128,384],[8192,384,128],[2048,256,1536],[2048,768,256]]) {
 const a=leaf([M,K1]), g=leaf([M,N1]);
 const forms:any={outin:()=>rec("FusedMatMul",[g,a],[N1,K1],{transA:1},"com.microsoft"), transposed:()=>rec("MatMul",[rec("Transpose",[g],[N1,M],{perm:[1,0]}),a],[N1,K1])};
 for(const k of [4,8]) forms["split"+k]=()=>{ const p=rec("FusedMatMul",[{...g,shape:[k,M/k,N1]},{...a,shape:[k,M/k,K1]}],[k,N1,K1],{transA:1},"com.microsoft"); return rec("ReduceSum",[p,int64s([0])],[N1,K1],{keepdims:0}); };
 forms.gemm=()=>rec("Gemm",[g,a],[N1,K1],{transA:1});
 G(`wgrad ${M}: ${K1}->${N1}`,forms,N);
}
