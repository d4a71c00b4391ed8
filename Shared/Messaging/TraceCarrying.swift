import Tracing

/// Takes the trace out of a task's context and back into one, as the program's tracer writes it.
enum TraceCarrying {
    private struct Headers: Injector, Extractor {
        func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
        func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
    }

    /// W3C `traceparent`; nil without a tracer or a trace.
    static func traceparent(of context: ServiceContext?) -> String? {
        guard let context else { return nil }
        var headers: [String: String] = [:]
        InstrumentationSystem.instrument.inject(context, into: &headers, using: Headers())
        return headers["traceparent"]
    }

    static func context(_ traceparent: String?) -> ServiceContext {
        var context = ServiceContext.topLevel
        guard let traceparent else { return context }
        InstrumentationSystem.instrument.extract(["traceparent": traceparent], into: &context, using: Headers())
        return context
    }
}
