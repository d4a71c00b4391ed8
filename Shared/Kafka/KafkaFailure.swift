import CRdKafka
package import Contracts

/// What can go wrong between us and the brokers. To a client of ours each is a 503.
package enum KafkaFailure: Failure, Equatable, CustomStringConvertible {
    /// No broker answers, or not in time. Worth trying again.
    case away(String)
    /// The brokers refuse this record or request; trying again changes nothing. `code` is the library's name for it.
    case refused(code: String, reason: String)
    /// Settings that cannot work, one sentence each. Found before anything is started.
    case misconfigured([String])
    /// The client has been shut down, or the task that waited has been cancelled.
    case closed

    package var code: String { "dependency-unavailable" }
    package var kind: FailureKind { .unavailable(retryAfter: 2) }
    package var detail: String? { "A part of the platform (kafka) does not answer just now. Try again shortly." }

    package var description: String {
        switch self {
        case .away(let reason): "kafka does not answer: \(reason)"
        case .refused(let code, let reason): "kafka refuses: \(code): \(reason)"
        case .misconfigured(let problems): "kafka settings: " + problems.joined(separator: "; ")
        case .closed: "the kafka client is closed"
        }
    }

    /// Whether the same call may succeed later.
    package var isWorthRetrying: Bool {
        if case .away = self { true } else { false }
    }

    init(_ error: rd_kafka_resp_err_t, _ doing: String) {
        switch error {
        case RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__DESTROY:
            self = .closed
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
            RD_KAFKA_RESP_ERR__INVALID_ARG, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
            self = .refused(code: error.name, reason: "\(doing): \(error.sentence)")
        default:
            self = .away("\(doing): \(error.name): \(error.sentence)")
        }
    }
}

extension rd_kafka_resp_err_t {
    /// `MSG_SIZE_TOO_LARGE`; local ones begin with an underscore.
    var name: String { String(cString: rd_kafka_err2name(self)) }
    /// The library's sentence.
    var sentence: String { String(cString: rd_kafka_err2str(self)) }
    var isError: Bool { self != RD_KAFKA_RESP_ERR_NO_ERROR }
}
