//! What a frame costs in memory once the stream is warm. In a file of its own: every allocation of the process counts.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Again, hash};
use mollifier::backend::Tract;
use mollifier::model::Model;
use mollifier::source::Pixels;
use mollifier::stream::{Engine, FieldOptions, Givens, Map, run_fields};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(size, Ordering::Relaxed);
    LARGEST.fetch_max(size, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SHAPE: [usize; 2] = [192, 160];
const MAPS: u64 = 70;

#[test]
fn a_warm_stream_takes_no_memory_of_the_size_of_a_frame() {
    // Density maps are looked at on a lattice of at most 8,192 points, whatever their size.
    let cases = [("heat", 8 << 10), ("heat-transient", 8 << 10), ("chromatin-closed-form", 8 * 8_192)];
    for (name, largest_allowed) in cases {
        for threads in [1, 2] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.onnx"));
            let model = Model::load(&path).expect("a shipped model");
            let mut givens = Givens {
                spacing: model.contract.grid.iter().filter(|a| a.name != "t").map(|a| a.aspect).collect(),
                ..Givens::default()
            };
            if model.contract.inputs.iter().any(|i| i.name == "m") {
                givens.constants.insert("m".into(), 0.01);
            }
            let options = FieldOptions { givens, threads, ..FieldOptions::default() };
            // The same few frames again and again: the source's own buffers are not what is looked at.
            let frames: Vec<Pixels> = (0..4_u64)
                .map(|f| {
                    let counts = (0..SHAPE[0] * SHAPE[1]).map(|i| (2000.0 + 500.0 * hash(f << 32 | i as u64)) as u16);
                    Pixels::U16(counts.collect())
                })
                .collect();
            let source = Box::new(Again::new(SHAPE, MAPS, frames));
            let mut maps = 0;
            let (mut before, mut seen) = ((0, 0), None::<(usize, usize, usize)>);
            run_fields(&Engine { model: &model, backend: &Tract }, source, &options, &mut |_: &Map<'_>| {
                maps += 1;
                if maps == 20 {
                    LARGEST.store(0, Ordering::Relaxed);
                    before = (COUNT.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
                }
                if maps == 60 {
                    let count = (COUNT.load(Ordering::Relaxed) - before.0) / 40;
                    let bytes = (BYTES.load(Ordering::Relaxed) - before.1) / 40;
                    let largest = LARGEST.load(Ordering::Relaxed);
                    seen = Some((count, bytes, largest));
                }
                Ok(())
            })
            .expect("the run succeeds");
            let (count, bytes, largest) = seen.expect("enough maps");
            println!("{name}, {threads} threads: {count} allocations of {bytes} bytes a map, largest {largest}");
            // What is left is the engine's, for the scalars of the graph: gains, steps.
            let allowed = (200, 3 * largest_allowed, largest_allowed);
            let fits = count <= allowed.0 && bytes <= allowed.1 && largest <= allowed.2;
            assert!(
                fits,
                "{name}: got {:?} (allocations a map, bytes, the largest), expected at most {allowed:?}",
                seen
            );
        }
    }
}
