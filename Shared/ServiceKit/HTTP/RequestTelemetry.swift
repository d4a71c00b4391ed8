import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import Tracing

/// Around every request: its id, its span, its duration metric, its one log event, and problem+json for what was thrown.
struct RequestTelemetry: RouterMiddleware {
    let service: ServiceName
    let logger: Logger

    func handle(
        _ request: Request, context: EndpointContext, next: (Request, EndpointContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var context = context
        context.requestID = RequestIdentity.accept(request.headers[.requestID])
        let requestContext = context
        var parent = ServiceContext.topLevel
        InstrumentationSystem.instrument.extract(request.headers, into: &parent, using: HeaderExtractor())
        return await withSpan(request.method.rawValue, context: parent, ofKind: .server) { span in
            var response: Response
            do {
                response = try await next(request, requestContext)
            } catch {
                response = ProblemTranslation.response(
                    for: error, request: request, record: requestContext.record, requestID: requestContext.requestID, logger: logger)
            }
            response.headers[.requestID] = requestContext.requestID
            let status = response.status.code
            let fields = requestContext.record.snapshot
            span.operationName = fields.action ?? request.method.rawValue
            span.attributes["http.request.method"] = request.method.rawValue
            span.attributes["http.response.status_code"] = status
            if status >= 500 { span.setStatus(.init(code: .error)) }
            let traceID = span.context.traceParent?.traceID
            let finish: @Sendable () -> Void = {
                finished(request, requestContext, status: status, traceID: traceID, after: start.duration(to: .now))
            }
            if response.body.contentLength != nil {
                finish()
            } else {
                response.body = response.body.whenWritten(finish)
            }
            return response
        }
    }

    private func finished(_ request: Request, _ context: EndpointContext, status: Int, traceID: String?, after duration: Duration) {
        let fields = context.record.snapshot
        let route = fields.action ?? (Operations.paths.contains(request.uri.path) ? "operations" : "unrouted")
        Metrics.Timer(
            label: "trionex_http_request_duration_seconds",
            dimensions: [("service", service.rawValue), ("route", route), ("status", String(status))]
        ).recordNanoseconds(duration.nanoseconds)
        // What operators' probes ask every few seconds is not worth a line each.
        let isProbe = Operations.paths.contains(request.uri.path) && status < 500
        let level: Logger.Level = status >= 500 ? .error : isProbe ? .debug : .info
        guard logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [
            "requestId": "\(context.requestID)", "action": "\(route)", "duration": .stringConvertible(duration.nanoseconds / 1_000_000),
            "statusCode": .stringConvertible(status),
        ]
        if let address = request.headers[.forwardedFor] ?? context.remoteAddress?.ipAddress { metadata["ip"] = "\(address.prefix(64))" }
        if let agent = request.headers[.userAgent] { metadata["userAgent"] = "\(agent.prefix(256))" }
        if let caller = fields.caller {
            metadata["userId"] = "\(caller.principalText)"
            metadata["tenantId"] = "\(caller.tenant)"
        }
        if let traceID { metadata["traceId"] = "\(traceID)" }
        if let problem = fields.problem { metadata["problem"] = "\(problem)" }
        for (key, value) in fields.notes { metadata[key] = "\(value)" }
        logger.log(level: level, "request", metadata: metadata)
    }
}

/// Request ids: accepted from outside when they are sane, else made.
package enum RequestIdentity {
    package static func accept(_ text: String?) -> String {
        if let text, (8...128).contains(text.utf8.count),
            text.utf8.allSatisfy({
                ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 95 || $0 == 46
            })
        {
            return text
        }
        return UUID.version7().uuidString.lowercased()
    }
}

struct HeaderExtractor: Extractor {
    func extract(key: String, from carrier: HTTPFields) -> String? { HTTPField.Name(key).flatMap { carrier[$0] } }
}

extension ResponseBody {
    /// Calls back once the last byte was handed to the connection, or writing failed.
    fileprivate func whenWritten(_ action: @escaping @Sendable () -> Void) -> ResponseBody {
        ResponseBody(contentLength: contentLength) { writer in
            defer { action() }
            try await self.write(writer)
        }
    }
}

extension Duration {
    package var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
