import Contracts
import Messaging
import Postgres
import ServiceKit

extension Audit {
    /// With the address and agent of the request that caused it; nil for work that nobody asked for over HTTP.
    init(_ tx: Transaction, _ request: PublicRequest?) {
        self.init(tx, address: request?.clientAddress, userAgent: request?.userAgent, requestID: request?.requestID)
    }
}
